package main

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// A udpPhone receives MESSAGE over UDP as RFC 3261, section 17.2, has it: a
// repetition of a request (the same branch and sent-by) gets the answer of the
// first and is not shown again. A test can have it keep its answer back.
type udpPhone struct {
	t    *testing.T
	conn *net.UDPConn

	mu      sync.Mutex
	shown   []sipText
	refuses string            // a type that it answers 415
	answers map[string][]byte // by branch and sent-by; nil while it is kept back
	hold    chan struct{}     // closed to release; nil: answers go at once
	changed chan struct{}
}

// A sipText is what the phone shows.
type sipText struct{ From, Text string }

// newUDPPhone registers one of the bridge's accounts and takes its messages.
func newUDPPhone(b *bridge, user string) *udpPhone {
	b.t.Helper()
	s := b.phone(user, "u1")
	s.register()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.local})
	if err != nil {
		b.t.Fatal(err)
	}
	p := &udpPhone{t: b.t, conn: conn, answers: map[string][]byte{}, changed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read()
	}()
	b.t.Cleanup(func() {
		p.release()
		conn.Close()
		<-done
	})
	return p
}

func (p *udpPhone) read() {
	buf := make([]byte, 65535)
	for {
		n, from, err := p.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		if request := string(buf[:n]); strings.HasPrefix(request, "MESSAGE ") {
			p.take(request, from)
		}
	}
}

// take shows a new request and answers any, unless the answer is kept back.
func (p *udpPhone) take(request string, from *net.UDPAddr) {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	key, answer := branch(head), answerTo(head, "200 OK")
	p.mu.Lock()
	defer p.mu.Unlock()
	stored, known := p.answers[key]
	if known {
		if stored != nil {
			_, _ = p.conn.WriteToUDP(stored, from)
		}
		return
	}
	if kind, _, _ := strings.Cut(header(head, "Content-Type"), ";"); p.refuses != "" && kind == p.refuses {
		p.answers[key] = answerTo(head, "415 Unsupported Media Type")
		_, _ = p.conn.WriteToUDP(p.answers[key], from)
		return
	}
	p.shown = append(p.shown, sipText{header(head, "From"), body})
	close(p.changed)
	p.changed = make(chan struct{})
	p.answers[key] = nil
	if p.hold == nil {
		p.answers[key] = answer
		_, _ = p.conn.WriteToUDP(answer, from)
		return
	}
	go func(released chan struct{}) {
		<-released
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answers[key] = answer
		_, _ = p.conn.WriteToUDP(answer, from)
	}(p.hold)
}

// refuse answers a type 415 from now on.
func (p *udpPhone) refuse(mediaType string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = mediaType
}

// holdAnswers keeps the answers back from now on, until release.
func (p *udpPhone) holdAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil {
		p.hold = make(chan struct{})
	}
}

func (p *udpPhone) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// sees waits until the phone shows a text and returns it.
func (p *udpPhone) sees(text string) sipText {
	p.t.Helper()
	return p.until(text, func(s string) bool { return s == text })
}

// contains waits for a text that has a part.
func (p *udpPhone) contains(part string) sipText {
	p.t.Helper()
	return p.until(part, func(s string) bool { return strings.Contains(s, part) })
}

func (p *udpPhone) until(text string, ok func(string) bool) sipText {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		changed := p.changed
		for _, m := range p.shown {
			if ok(m.Text) {
				p.mu.Unlock()
				return m
			}
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("the phone never showed %q; it shows %q", text, p.texts())
		}
	}
}

// texts returns what the phone shows, in order.
func (p *udpPhone) texts() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.shown {
		list = append(list, m.Text)
	}
	return list
}

func header(head, name string) string {
	for line := range strings.Lines(head) {
		if n, v, ok := strings.Cut(line, ":"); ok && textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(n)) == textproto.CanonicalMIMEHeaderKey(name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// branch is the transaction's key: the first Via's sent-by and branch.
func branch(head string) string {
	via, _, _ := strings.Cut(header(head, "Via"), ",")
	sentBy, params, _ := strings.Cut(via, ";")
	for param := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(param), "branch="); ok {
			return sentBy + " " + v
		}
	}
	return via
}

// answerTo is the answer to a request.
func answerTo(head, status string) []byte {
	var b bytes.Buffer
	b.WriteString("SIP/2.0 " + status + "\r\n")
	for line := range strings.Lines(head) {
		line = strings.TrimRight(line, "\r\n")
		name, _, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "via", "from", "call-id", "cseq":
			b.WriteString(line + "\r\n")
		case "to":
			fmt.Fprintf(&b, "%s;tag=phone\r\n", line)
		}
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return b.Bytes()
}
