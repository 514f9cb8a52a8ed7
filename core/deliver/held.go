package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"parley.im/bus"
)

// Held returns the lowest sequence of an Outbound that is acknowledged and yet
// unsettled, because its lane is parked; 0 if there is none. It looks at the
// lanes of all connectors, also of those that are not configured any more.
func Held(ctx context.Context, b *bus.Bus) (first uint64, err error) {
	bucket, err := b.Bucket(ctx, "deliver")
	if err != nil {
		return 0, err
	}
	entries, err := bucket.List(ctx, "", "", 0)
	if err != nil {
		return 0, fmt.Errorf("list parked lanes: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Key, markPrefix) {
			continue
		}
		var r record
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return 0, fmt.Errorf("parked lane %s: %w", e.Key, err)
		}
		if first == 0 || r.First < first {
			first = r.First
		}
	}
	return first, nil
}
