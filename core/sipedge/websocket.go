package sipedge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	glob "path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"parley.im/core/sipedge/internal/tune"
)

// maxHandshake is the largest HTTP request of a handshake, in bytes.
const maxHandshake = 16 << 10

// webSocket is a connection by RFC 7118: each of its messages is one of SIP.
// Pings, fragments and the closing handshake are the library's.
type webSocket struct {
	f    *flow
	conn net.Conn // below the frames
	c    *websocket.Conn
	buf  bytes.Buffer
	used bool // something has come
}

// upgrade makes a WebSocket of a connection, or answers why not.
func upgrade(f *flow, conn net.Conn, origins []string) (*webSocket, error) {
	w := &reply{conn: conn, header: http.Header{}, r: bufio.NewReader(&io.LimitedReader{R: conn, N: maxHandshake})}
	req, err := http.ReadRequest(w.r)
	if err != nil {
		return nil, err
	}
	if !offersSIP(req.Header) {
		http.Error(w, `the subprotocol is "sip" (RFC 7118)`, http.StatusBadRequest)
		return nil, fmt.Errorf("no subprotocol sip is offered")
	}
	c, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{"sip"}, OriginPatterns: origins})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(tune.MaxMessage)
	return &webSocket{f: f, conn: conn, c: c}, nil
}

func offersSIP(h http.Header) bool {
	for _, v := range h.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "sip") {
				return true
			}
		}
	}
	return false
}

// checkOrigins looks for patterns that could not be used.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		if _, err := glob.Match(o, ""); err != nil || o == "" {
			return fmt.Errorf("origin %q is no pattern of hosts", o)
		}
	}
	return nil
}

// next returns the next message with a Content-Length, which a WebSocket
// message may do without, and without what is beyond it.
func (w *webSocket) next() ([]byte, error) {
	for {
		msg, err := w.read()
		if err != nil {
			return nil, err
		}
		if len(bytes.Trim(msg, "\r\n")) == 0 {
			if bytes.Equal(msg, endHead) { // RFC 5626, section 4.4.1
				if _, err := w.f.Write(crlf); err != nil {
					return nil, err
				}
			}
			continue
		}
		if msg, err = w.whole(bytes.TrimLeft(msg, "\r\n")); msg != nil || err != nil {
			return msg, err
		}
	}
}

// read returns one message of the WebSocket. It has to begin within the idle
// limit, the first one earlier, and to end soon after.
func (w *webSocket) read() ([]byte, error) {
	limits, late := w.f.table.warden.limits(), &w.f.table.warden.count.idle
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wait := limits.Header
	if w.used {
		wait = limits.Idle
	}
	timer := time.AfterFunc(wait, cancel)
	defer timer.Stop()
	_, r, err := w.c.Reader(ctx)
	if err == nil {
		w.used = true
		timer.Reset(limits.Header)
		late = &w.f.table.warden.count.slow
		if w.buf.Cap() > spare {
			w.buf = bytes.Buffer{}
		}
		w.buf.Reset()
		_, err = w.buf.ReadFrom(r)
	}
	if err != nil && ctx.Err() != nil {
		late.Add(1)
	}
	return w.buf.Bytes(), err
}

// whole makes a message fit for a stream. It returns nil for one that was
// answered here, and an error for what is no SIP.
func (w *webSocket) whole(msg []byte) ([]byte, error) {
	head, body, ok := split(msg)
	if !ok || !looksLikeSIP(head) {
		w.f.malformed()
		w.close(websocket.StatusPolicyViolation)
		return nil, errRefused
	}
	n, wrong := bodyLength(head)
	if wrong == "" && n > len(body) {
		wrong = "Body shorter than Content-Length"
	}
	switch {
	case wrong != "":
		w.f.malformed()
		if res := refusal(head, w.conn.RemoteAddr().String(), say(400, wrong)); res != nil {
			if _, err := w.f.Write([]byte(res.String())); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case n < 0:
		line := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
		return append(append(bytes.Clone(head[:len(head)-len(crlf)]), line...), body...), nil
	}
	return msg[:len(head)+n], nil
}

// write sends one message; a text, if it is one.
func (w *webSocket) write(msg []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.f.table.warden.limits().Write)
	defer cancel()
	kind := websocket.MessageBinary
	if utf8.Valid(msg) {
		kind = websocket.MessageText
	}
	err := w.c.Write(ctx, kind, msg)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (w *webSocket) bye() { w.close(websocket.StatusGoingAway) }

// close writes a frame that says why the connection is closed (RFC 6455,
// section 5.5.1) and waits for no answer.
func (w *webSocket) close(code websocket.StatusCode) {
	frame := binary.BigEndian.AppendUint16([]byte{0x88, 2}, uint16(code))
	w.conn.SetWriteDeadline(time.Now().Add(goodbye))
	_, _ = w.conn.Write(frame)
}

// reply answers the one HTTP request of a handshake.
type reply struct {
	conn   net.Conn
	header http.Header
	r      *bufio.Reader
	begun  bool
}

// Header returns the headers to be sent.
func (w *reply) Header() http.Header { return w.header }

// WriteHeader sends the status and the headers.
func (w *reply) WriteHeader(code int) {
	if w.begun {
		return
	}
	w.begun = true
	if code != http.StatusSwitchingProtocols {
		w.header.Set("Connection", "close")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	_ = w.header.Write(&b)
	b.Write(crlf)
	_, _ = w.conn.Write(b.Bytes())
}

// Write sends a part of the body.
func (w *reply) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.conn.Write(b)
}

// Hijack hands over the connection.
func (w *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(w.r, bufio.NewWriter(w.conn)), nil
}
