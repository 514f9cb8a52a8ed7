package httpd

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// healthTimeout bounds one health check.
const healthTimeout = 2 * time.Second

type health struct {
	Status  string   `json:"status"` // "ok" or "failing"
	Reasons []string `json:"reasons,omitempty"`
}

// serveHealth answers 200 or 503 with the reasons, if they may be shown.
func serveHealth(w http.ResponseWriter, r *http.Request, check func(context.Context) error, show bool) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	h, code := health{Status: "ok"}, http.StatusOK
	if err := check(ctx); err != nil {
		h, code = health{Status: "failing"}, http.StatusServiceUnavailable
		if show {
			h.Reasons = reasons(err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(h)
}

// reasons lists the members of joined errors one by one.
func reasons(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, e := range joined.Unwrap() {
		all = append(all, reasons(e)...)
	}
	return all
}
