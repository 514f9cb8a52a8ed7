package deliver

import (
	"context"
	"fmt"
	"slices"

	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
)

// mapped returns the delivery of a message in the best form that its target
// takes, and what that loses. The message itself stays as it came.
func (s *Stage) mapped(ctx context.Context, it item, able Abilities) (d event.Delivery, losses []string, err error) {
	d = it.Delivery()
	if !slices.Contains(able.Kinds, d.Kind) {
		return d, nil, event.Permanent(fmt.Errorf("messages of kind %q are not taken here", d.Kind))
	}
	if s.Links != nil {
		d.Links = s.Links(it.Outbound, it.seq)
	}
	if mapping.Opens(d.Content, able.Taker) {
		if d.Content, err = s.Bus.Load(ctx, d.Content); err != nil {
			return d, nil, ours("read the body", err)
		}
	}
	m, lost, err := mapping.Map(mapping.Message{Content: d.Content, Files: d.Files, Links: d.Links}, able.Taker)
	if err != nil {
		return d, nil, event.Permanent(fmt.Errorf("the message can't be shown there: %w", err))
	}
	d.Content, d.Files = m.Content, m.Files
	for _, l := range lost {
		losses = append(losses, string(l))
	}
	return d, losses, nil
}
