// Connector-go joins anything that speaks HTTP to the bridge, both ways.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

const schema = `{"type": "object", "additionalProperties": false, "required": ["url", "token"], "properties": {
  "url": {"type": "string", "pattern": "^https?://", "description": "where messages are posted", "examples": ["http://127.0.0.1:9000/"]},
  "token": {"type": "string", "minLength": 16, "writeOnly": true, "description": "a secret of 16 characters or more that both sides send"}}}`

// message is what is posted, either way.
type message struct {
	ID     string        `json:"id"`   // the same when it is repeated
	From   event.Address `json:"from"` // in: hook:somebody
	Name   string        `json:"name,omitempty"`
	To     event.Address `json:"to,omitempty"`     // in: may be missing where thread tells
	Thread string        `json:"thread,omitempty"` // of the conversation: answer with it
	Text   string        `json:"text"`
}

type hook struct {
	URL, Token string
	host       sdk.Host
}

func main() { sdk.Serve(&hook{}) }

func (h *hook) Describe() sdk.Description {
	return sdk.Description{Network: "webhook", Version: "1", Schemes: []string{"hook"}, Kinds: []event.Kind{event.KindMessage},
		Types: []string{"text/plain"}, MaxBytes: 64 << 10, HTTP: true, Public: []string{"/in"}, Settings: schema}
}

func (h *hook) Open(_ context.Context, s sdk.Settings, host sdk.Host) error {
	h.host = host
	return errors.Join(s.Decode(h), host.Serve(http.HandlerFunc(h.in)))
}
func (h *hook) Close(context.Context) error { return nil }

// Deliver posts a message. The first of a conversation names its thread.
func (h *hook) Deliver(ctx context.Context, d event.Delivery) (r event.Receipt, err error) {
	m := message{ID: d.ID, From: d.From, Name: d.FromName, To: d.Target, Text: string(d.Data)}
	m.Thread = cmp.Or(d.Anchor, d.Target.Rest()+"/"+d.Conversation)
	body, err := json.Marshal(m)
	q, wrong := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err = errors.Join(err, wrong); err != nil || d.Ref != "" || len(d.Data) > 64<<10 {
		return r, event.Permanent(errors.Join(err, errors.New("this can't be posted")))
	}
	q.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + h.Token}, "Idempotency-Key": {d.ID}}
	resp, err := http.DefaultTransport.RoundTrip(q) // a redirect is no success
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return r, event.Retry(event.ScopeConnector, 0, err) // certainly not sent
	} else if err != nil {
		return r, err // perhaps sent: the host repeats it
	}
	resp.Body.Close()
	err = fmt.Errorf("the URL answered %s", resp.Status)
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // without one the host decides
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return event.Receipt{State: event.Accepted, RemoteIDs: []string{d.ID}, Anchor: m.Thread}, nil
	case code == 429, code == 503:
		return r, event.Retry(event.ScopeConnector, time.Duration(after)*time.Second, err)
	case code/100 == 4:
		return r, event.Permanent(err)
	}
	return r, err
}

// in takes a message, and says so only when the host has stored it.
func (h *hook) in(w http.ResponseWriter, r *http.Request) {
	var m message
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+h.Token)) == 0 {
		http.Error(w, "give the header Authorization: Bearer TOKEN", http.StatusUnauthorized)
	} else if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&m); err != nil {
		http.Error(w, "this is no message in JSON: "+err.Error(), http.StatusBadRequest)
	} else if _, err := h.host.Put(r.Context(), event.Inbound{
		Envelope: event.Envelope{NativeID: m.ID, Sender: m.From, SenderName: m.Name, Recipient: m.To, Thread: m.Thread},
		Content:  event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(m.Text)},
	}); err == nil {
		w.WriteHeader(http.StatusAccepted)
	} else if event.IsPermanent(err) {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	} else {
		http.Error(w, "try again: "+err.Error(), http.StatusServiceUnavailable)
	}
}
