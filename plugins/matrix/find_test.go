package matrix

import (
	"reflect"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

// The answer is lost, the connector dies, and the homeserver forgets its
// transaction ids too: only looking tells what happened.
func TestFindTellsWhatAnInterruptedDeliveryDid(t *testing.T) {
	for _, tc := range []struct {
		name   string
		target event.Address
		mode   event.Mode
	}{
		{"in a room", "matrix:r/ops:hs.org", event.ModeRoom},
		{"at a desk", "matrix:r/ops:hs.org", event.ModeDesk},
		{"to a person", "matrix:u/bob:hs.org", event.ModeDirect},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
			first := start(t, hs, sdktest.NewBackend())
			find := func(b *bridge, d event.Delivery) (event.Receipt, bool) {
				t.Helper()
				r, found, err := b.Find(t.Context(), d, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				return r, found
			}
			d := to(tc.target, tc.mode, "d1", "once")
			if _, found := find(first, d); found {
				t.Error("found before it was sent")
			}
			hs.Drop(1)
			if _, err := first.Deliver(t.Context(), d); err == nil {
				t.Fatal("delivered over a broken connection")
			}
			if _, found := find(first, d); found {
				t.Error("found although it was never stored")
			}
			hs.Lose(1)
			if _, err := first.Deliver(t.Context(), d); err == nil {
				t.Fatal("delivered over a broken connection")
			}
			first.close()
			hs.Forget()
			second := start(t, hs, sdktest.NewBackend())
			r, found := find(second, d)
			if !found || len(r.RemoteIDs) != 1 {
				t.Fatalf("found %v: %+v", found, r)
			}
			d2 := to(tc.target, tc.mode, "d2", "more")
			d2.Anchor = r.Anchor
			want := second.deliver(d2)
			got, found := find(second, d2)
			if !found || !reflect.DeepEqual(got, want) || got.Anchor != r.Anchor {
				t.Errorf("the second: found %v %+v; the receipt was %+v", found, got, want)
			}
		})
	}
}

func TestFindKnowsNothingOfWhatCanNotBe(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	for _, wrong := range []func(*event.Delivery){
		func(d *event.Delivery) { d.Target = "slack:T0/C0" },
		func(d *event.Delivery) { d.Target = "matrix:r/attic:hs.org" },
		func(d *event.Delivery) { d.Target = "matrix:roomid/none:hs.org" },
		func(d *event.Delivery) { d.From = "" },
		func(d *event.Delivery) { d.Kind = event.KindStatus },
	} {
		d := to("matrix:u/bob:hs.org", event.ModeDirect, "d1", "text")
		wrong(&d)
		if _, found, err := b.Find(t.Context(), d, time.Now()); found || err != nil {
			t.Errorf("%+v: found %v, %v", d, found, err)
		}
	}
	hs.Revoke()
	if _, _, err := b.Find(t.Context(), to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "x"), time.Now()); err == nil {
		t.Error("a homeserver that refuses the token says what was sent")
	}
}
