package httpd

import (
	"context"
	"encoding/json"
	"net/http"
)

func (o *Operator) serveReload(w http.ResponseWriter, r *http.Request) {
	if o.Reload == nil {
		refuse(w, http.StatusNotFound, "this host can't reload")
		return
	}
	done, err := o.Reload(r.Context(), caller(r.Context()))
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	o.answer(w, done)
}

// Reload has the host read its configuration again and returns what that
// changed, in words.
func (c *Client) Reload(ctx context.Context) (done []string, err error) {
	return c.words(ctx, "/v1/reload", nil)
}

// words posts v and returns what the host did, in words.
func (c *Client) words(ctx context.Context, path string, v any) (done []string, err error) {
	body, err := c.post(ctx, path, v)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return done, json.NewDecoder(body).Decode(&done)
}
