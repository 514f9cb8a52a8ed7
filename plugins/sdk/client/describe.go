package client

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/wire"
)

// describe asks a connector what it can do and checks the answer.
func describe(ctx context.Context, service wire.ConnectorClient) (sdk.Description, error) {
	m, err := service.Describe(ctx, &wire.DescribeRequest{})
	if err != nil {
		return sdk.Description{}, fmt.Errorf("describe: %w", err)
	}
	d := sdk.Description{
		Network: m.GetNetwork(), Version: wire.Clip(m.GetVersion(), 100), Types: m.GetTypes(),
		MaxBytes: int(max(m.GetMaxBytes(), 0)), MaxFile: max(m.GetMaxFile(), 0),
		Gate: sdk.Gate{Outstanding: int(max(m.GetGateOutstanding(), 0)), Every: m.GetGateEvery().AsDuration()},
		HTTP: m.GetHttp(), Find: m.GetFind(), Settings: m.GetSettingsSchema(), Public: m.GetPublic(),
	}
	for _, s := range m.GetStates() {
		d.States = append(d.States, event.State(s))
	}
	for _, s := range m.GetSchemes() {
		d.Schemes = append(d.Schemes, strings.ToLower(s))
	}
	for _, k := range m.GetKinds() {
		d.Kinds = append(d.Kinds, event.Kind(k))
	}
	return d, check(d)
}

// maxEvery is the slowest pace that makes sense.
const maxEvery = time.Hour

// check says all that is wrong with a description.
func check(d sdk.Description) error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("description: "+format, args...)) }
	if ok, _ := regexp.MatchString(`^[a-z0-9][a-z0-9-]{0,31}$`, d.Network); !ok {
		say("network %.40q must be lower-case letters, digits and -", d.Network)
	}
	if len(d.Schemes) == 0 || len(d.Schemes) > 16 {
		say("%d schemes; give 1 to 16, such as the network's name", len(d.Schemes))
	}
	for _, s := range d.Schemes {
		if err := event.Address(s + ":x").Check(); err != nil || strings.Contains(s, ":") {
			say("scheme %.40q is not the beginning of an address", s)
		}
	}
	if slices.Contains(d.Schemes, event.BuiltinSIP) || slices.Contains(d.Schemes, "sips") {
		say("the scheme sip is the host's own")
	}
	if !slices.Contains(d.Kinds, event.KindMessage) || len(d.Kinds) > 16 {
		say("kinds must have %q", event.KindMessage)
	}
	if len(d.Types) == 0 || len(d.Types) > 100 {
		say("%d types; give 1 to 100, such as text/plain", len(d.Types))
	}
	for _, path := range d.Public {
		if !strings.HasPrefix(path, "/") || len(path) < 2 || len(path) > 100 || len(d.Public) > 16 {
			say("public path %.40q; give a few prefixes that begin with / and say more, such as /events", path)
		}
	}
	for _, s := range d.States {
		if !slices.Contains([]event.State{event.Accepted, event.Delivered, event.Displayed, event.Failed}, s) {
			say("state %.40q is unknown", string(s))
		}
	}
	if d.Gate.Every < 0 || d.Gate.Every > maxEvery {
		say("gate every %v; at most %v makes sense", d.Gate.Every, maxEvery)
	}
	return errors.Join(wrong...)
}
