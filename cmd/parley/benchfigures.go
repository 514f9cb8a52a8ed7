package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"parley.im/plugins/sdk/sdktest/counting"
)

// drainLimit is how long a bench waits for a backlog to be delivered.
const drainLimit = 5 * time.Minute

// ask sends a request to the host's HTTP door.
func (h *benchHost) ask(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.http+path, body)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return res, nil
}

// counted returns what the counting connector has seen.
func (h *benchHost) counted(ctx context.Context) (counting.Stats, error) {
	return h.stats(ctx, http.MethodGet)
}

func (h *benchHost) stats(ctx context.Context, method string) (s counting.Stats, err error) {
	res, err := h.ask(ctx, method, "/c/count/stats", nil)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// settled returns how many messages a connector's stage has settled since the
// host started, from its metrics.
func (h *benchHost) settled(ctx context.Context, connector string) (sum int64, err error) {
	res, err := h.ask(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	prefix := fmt.Sprintf("parley_outbound_settled_total{connector=%q,", connector)
	s := bufio.NewScanner(res.Body)
	for s.Scan() {
		if !strings.HasPrefix(s.Text(), prefix) {
			continue
		}
		_, value, _ := strings.Cut(s.Text(), "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum += int64(n)
	}
	return sum, s.Err()
}

// drained returns when a connector's stage has settled n messages.
func (h *benchHost) drained(ctx context.Context, connector string, n int64) error {
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for {
		now, err := h.settled(limit, connector)
		if err != nil {
			return fmt.Errorf("%d of %d messages were settled: %w", now, n, err)
		}
		if now >= n {
			return nil
		}
		rest(limit, 20*time.Millisecond)
	}
}
