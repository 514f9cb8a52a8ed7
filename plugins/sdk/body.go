package sdk

import (
	"context"
	"fmt"
	"io"

	"parley.im/bus/event"
)

// Body returns a body of at most limit bytes, from c itself or from Media. A
// larger one is a permanent error, one that can't be read now is to be tried
// again later.
func Body(ctx context.Context, m Media, c event.Content, limit int64) ([]byte, error) {
	if size := max(c.Size, int64(len(c.Data))); size > limit {
		return nil, event.Permanent(fmt.Errorf("a body of %d bytes; at most %d are taken here", size, limit))
	}
	if c.Ref == "" {
		return c.Data, nil
	}
	r, err := m.Open(ctx, c)
	if err != nil {
		return nil, event.Retry(event.ScopeMessage, 0, fmt.Errorf("open the body: %w", err))
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, event.Retry(event.ScopeMessage, 0, fmt.Errorf("read the body: %w", err))
	}
	if int64(len(data)) > limit {
		return nil, event.Permanent(fmt.Errorf("a body that is larger than was said; at most %d bytes are taken here", limit))
	}
	return data, nil
}
