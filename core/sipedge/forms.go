package sipedge

import (
	"context"
	"errors"

	"parley.im/bus/event"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/content/transfer"
)

const (
	maxForms   = 8        // of one message that are tried
	maxCarried = 48 << 10 // bytes of a file that goes in a message itself
)

const (
	mixedType    = "multipart/mixed"
	externalType = "message/external-body"
)

// A form is one way to write a message.
type form struct {
	event.Delivery
	kind   string   // what a 415 to it refuses
	losses []string // beside the message as it came
}

// A way is how forms reach a place.
type way struct {
	taste *taste
	fits  func(event.Delivery) bool // whole, in one request; nil: nothing is wrapped
	learn func()                    // asks the place what it takes
	send  func(event.Delivery) (event.Receipt, error)
}

// inForms sends a message in the best form that a place is known to take, and
// in the next best at once when it answers 415, or when the message is too
// large for its way and can't be divided.
func (e *Edge) inForms(ctx context.Context, d event.Delivery, w way) (event.Receipt, error) {
	var last error
	tried, mapped := map[string]bool{}, false
	for {
		f, err := e.form(ctx, d, w, mapped)
		if err == nil && len(f.losses) > 0 && w.learn != nil && w.taste.ask() {
			w.learn()
			f, err = e.form(ctx, d, w, mapped)
		}
		switch {
		case err != nil && last != nil:
			return event.Receipt{}, last
		case err != nil:
			return event.Receipt{}, err
		case tried[f.kind]:
			return event.Receipt{}, last
		}
		r, err := w.send(f.Delivery)
		var refused *typeRefused
		var whole *undivided
		switch {
		case errors.As(err, &refused):
			tried[f.kind] = true
			w.taste.refuses(f.kind, refused.accept)
			e.log.Info("refused in this form", "message", d.ID, "target", d.Target, "type", f.kind)
		case errors.As(err, &whole) && !mapped:
			mapped = true
		default:
			r.Losses = append(f.losses, r.Losses...)
			return r, err
		}
		last = err
	}
}

// form returns the best form of a delivery; mapped if that as it came does not
// go.
func (e *Edge) form(ctx context.Context, d event.Delivery, w way, mapped bool) (form, error) {
	if d.Kind == event.KindStatus {
		return e.statusForm(d, w.taste)
	}
	f, err := e.messageForm(ctx, d, w.taste, mapped)
	if err != nil || !w.taste.takes(cpim.MediaType) || w.fits == nil {
		return f, err
	}
	wrapped, err := wrapped(f.Delivery)
	if err != nil || !w.fits(wrapped) {
		return f, nil // the wrapper is not worth a message
	}
	return form{wrapped, cpim.MediaType, f.losses}, nil
}

// statusForm is the notification that was asked for, or a short text.
func (e *Edge) statusForm(d event.Delivery, t *taste) (form, error) {
	if d.MessageID != "" && !t.rejects(imdn.MediaType) && !t.rejects(cpim.MediaType) {
		r, err := receipt(d)
		return form{r, imdn.MediaType, nil}, permanent(err)
	}
	if d.State != event.Failed {
		return form{}, event.Permanent(errors.New("the phone takes no notices"))
	}
	d.Data, d.MediaType = notDelivered(d.Data), "text/plain;charset=utf-8"
	return form{d, "text/plain", nil}, nil
}

// messageForm is what somebody said: as it came where that is plain text or
// came from a phone, and a phone may take it; else mapped.
func (e *Edge) messageForm(ctx context.Context, d event.Delivery, t *taste, mapped bool) (form, error) {
	if err := checkType(d.MediaType); err != nil {
		return form{}, event.Permanent(err)
	}
	kind := bareType(d.MediaType)
	own := d.Sender.Scheme() == "sip" || kind == "text/plain" && isUTF8(d.MediaType)
	if own && !mapped && len(d.Files) == 0 && d.Ref == "" && !t.rejects(kind) {
		return form{d, kind, nil}, nil
	}
	taker := mapping.Taker{MaxBytes: MaxBody}
	if e.refuseFiles != nil {
		taker.Refuse = e.refuseFiles()
	}
	for _, k := range []string{"text/html", "text/markdown"} {
		if t.takes(k) {
			taker.Types = append(taker.Types, k)
		}
	}
	taker.Types = append(taker.Types, "text/plain")
	if f, ok := e.carried(ctx, d, t, taker); ok {
		return f, nil
	}
	f, err := mappedTo(d, taker)
	if err != nil {
		return f, err
	}
	if referred, ok := e.referred(d, t, taker); ok {
		return referred, nil
	}
	return f, nil
}

// mappedTo maps a delivery.
func mappedTo(d event.Delivery, taker mapping.Taker) (form, error) {
	m, losses, err := mapping.Map(mapping.Message{Content: d.Content, Files: d.Files, Links: d.Links}, taker)
	if err != nil {
		return form{}, event.Permanent(err)
	}
	d.Content, d.Files = m.Content, m.Files
	f := form{Delivery: d, kind: bareType(m.MediaType)}
	for _, l := range losses {
		f.losses = append(f.losses, string(l))
	}
	return f, nil
}

// carried has small files go in the message itself: one alone as it is, several
// and those with words as multipart/mixed.
func (e *Edge) carried(ctx context.Context, d event.Delivery, t *taste, taker mapping.Taker) (form, bool) {
	taker.MaxFile = maxCarried
	f, err := mappedTo(d, taker)
	if err != nil || len(f.Files) == 0 {
		return f, false
	}
	size := len(f.Data)
	for i, x := range f.Files {
		if f.Files[i].Content, err = e.host.Body(ctx, x.Content); err != nil {
			return f, false
		}
		size += len(f.Files[i].Data) * 4 / 3
	}
	switch kind := bareType(f.Files[0].MediaType); {
	case size > MaxBody-4096:
		return f, false
	case len(f.Files) == 1 && len(f.Data) == 0 && t.takes(kind):
		f.Content, f.kind = f.Files[0].Content, kind
	case t.takes(mixedType):
		f.Content, f.kind = mapping.Mixed(f.Content, f.Files, d.ID), mixedType
	default:
		return f, false
	}
	f.Files = nil
	return f, true
}

// referred names a file that is a whole message in a document for that, where
// the place takes one.
func (e *Edge) referred(d event.Delivery, t *taste, taker mapping.Taker) (form, bool) {
	taker.MaxFile = 1 << 40
	f, err := mappedTo(d, taker)
	if err != nil || len(f.Files) != 1 || len(f.Data) > 0 || d.Links == "" {
		return f, false
	}
	x := f.Files[0]
	at, ok := mapping.LinkTo(mapping.Message{Content: d.Content, Files: d.Files, Links: d.Links}, 0)
	if !ok {
		return f, false
	}
	doc := transfer.File{Name: x.Name, MediaType: bareType(x.MediaType), Size: max(x.Size, int64(len(x.Data))), URL: at}
	switch {
	case t.takes(transfer.MediaType):
		f.Content, f.kind = event.Content{MediaType: transfer.MediaType, Data: doc.XML()}, transfer.MediaType
	case t.takes(externalType):
		f.Content, f.kind = event.Content{
			MediaType: externalType + `; access-type=URL; URL="` + at + `"`, Data: []byte("Content-Type: " + doc.MediaType + "\r\n\r\n"),
		}, externalType
	default:
		return f, false
	}
	f.Files, f.losses = nil, append(f.losses, string(mapping.FileAsLink))
	return f, true
}

func permanent(err error) error {
	if err == nil {
		return nil
	}
	return event.Permanent(err)
}
