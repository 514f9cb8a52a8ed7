package sdktest

import (
	"context"

	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/sdk"
)

// Mapped returns a delivery as the host would hand it to a connector with this
// description, or why the host would not.
func Mapped(d event.Delivery, to sdk.Description) (event.Delivery, error) {
	t := mapping.Taker{Types: to.Types, MaxBytes: int64(to.MaxBytes), MaxFile: to.MaxFile}
	m, _, err := mapping.Map(mapping.Message{Content: d.Content, Files: d.Files, Links: d.Links}, t)
	d.Content, d.Files = m.Content, m.Files
	return d, err
}

// Deliver hands a delivery to a connector in the same process as the host would.
// What the host would not hand over is a permanent error. A body in Media stays
// there.
func Deliver(ctx context.Context, c sdk.Connector, d event.Delivery) (event.Receipt, error) {
	if d.Ref != "" {
		return c.Deliver(ctx, d)
	}
	d, err := Mapped(d, c.Describe())
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	return c.Deliver(ctx, d)
}
