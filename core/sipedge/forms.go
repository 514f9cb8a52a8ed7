package sipedge

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"parley.im/bus/event"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/content/transfer"
)

// maxCarried is how many bytes of a file go in a message itself at most.
const maxCarried = 48 << 10

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

// unfit tells of a form that can't go by its way, as it is. Another may.
type unfit struct{ why string }

func (u *unfit) Error() string { return u.why }

// A way is how forms reach a place.
type way struct {
	taste *taste
	wraps bool   // in CPIM, where that is taken
	most  int64  // bytes of a file that might go in a message
	learn func() // asks the place what it takes; nil: it can't be asked
	keep  func() // stores what is known of its taste; nil: nowhere
	send  func(event.Delivery) (event.Receipt, error)
}

// inForms sends a message in the first of its forms that a place takes: in the
// next at once when it answers 415, or when a form can't stand in a request or
// is too large for its way and can't be divided.
func (e *Edge) inForms(ctx context.Context, d event.Delivery, w way) (event.Receipt, error) {
	var why error // the forms so far did not go
	refused := map[string]bool{}
again:
	for {
		for f, err := range e.forms(ctx, d, w) {
			switch {
			case err != nil:
				return event.Receipt{}, cmp.Or(why, err)
			case refused[f.kind]:
				continue
			case len(f.losses) > 0 && w.learn != nil && w.taste.ask():
				w.learn()
				continue again
			}
			r, err := w.send(f.Delivery)
			var no *typeRefused
			var stays *unfit
			switch {
			case errors.As(err, &no):
				why, refused[f.kind] = err, true
				e.log.Info("refused in this form", "message", d.ID, "target", d.Target, "type", f.kind)
				if w.taste.refuses(f.kind, no.accept) && w.keep != nil {
					w.keep()
				}
				continue again
			case errors.As(err, &stays):
				why = cmp.Or(why, err)
			default:
				r.Losses = append(f.losses, r.Losses...)
				return r, err
			}
		}
		return event.Receipt{}, why
	}
}

// forms are the ways to write a delivery that a place is not known to refuse,
// best first, or why there is none. What does not go in CPIM goes without: the
// wrapper is not worth a message.
func (e *Edge) forms(ctx context.Context, d event.Delivery, w way) iter.Seq2[form, error] {
	return func(yield func(form, error) bool) {
		if d.Kind == event.KindStatus {
			yield(e.statusForm(d, w.taste))
			return
		}
		for f, err := range e.messageForms(ctx, d, w) {
			if err == nil && w.wraps && w.taste.takes(cpim.MediaType) {
				in, err := wrapped(f.Delivery)
				if err == nil && !yield(form{in, cpim.MediaType, f.losses}, nil) {
					return
				}
			}
			if !yield(f, err) {
				return
			}
		}
	}
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

// messageForms are what somebody said: as it came where that is plain text or
// came from a phone, and a phone may take it; with its files in it; as a
// document about a file; with formats; and as plain text.
func (e *Edge) messageForms(ctx context.Context, d event.Delivery, w way) iter.Seq2[form, error] {
	return func(yield func(form, error) bool) {
		kind, t := bareType(d.MediaType), w.taste
		if err := checkType(kind); err != nil {
			yield(form{}, event.Permanent(err))
			return
		}
		own := d.Sender.Scheme() == "sip" || kind == "text/plain" && isUTF8(d.MediaType)
		if own && len(d.Files) == 0 && d.Ref == "" && len(d.Data) <= MaxBody && !t.rejects(kind) && !yield(form{d, kind, nil}, nil) {
			return
		}
		rich := slices.DeleteFunc([]string{"text/html", "text/markdown"}, func(k string) bool { return !t.takes(k) })
		best := e.taker(rich...)
		if f, ok := e.carried(ctx, d, w, best); ok && !yield(f, nil) {
			return
		}
		if f, ok := e.referred(d, t, best); ok && !yield(f, nil) {
			return
		}
		for _, k := range append(rich, "text/plain") {
			f, err := mappedTo(d, e.taker(k))
			if !yield(f, err) || err != nil || f.kind == "text/plain" { // there was nothing to format
				return
			}
		}
	}
}

// taker takes plain text, and some formats rather than that.
func (e *Edge) taker(rich ...string) mapping.Taker {
	t := mapping.Taker{Types: slices.Compact(append(slices.Clone(rich), "text/plain")), MaxBytes: MaxBody}
	if e.refuseFiles != nil {
		t.Refuse = e.refuseFiles()
	}
	return t
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
func (e *Edge) carried(ctx context.Context, d event.Delivery, w way, taker mapping.Taker) (form, bool) {
	taker.MaxFile = w.most
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
	case len(f.Files) == 1 && len(f.Data) == 0 && w.taste.takes(kind):
		f.Content, f.kind = f.Files[0].Content, kind
	case w.taste.takes(mixedType):
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
