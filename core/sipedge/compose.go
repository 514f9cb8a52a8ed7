package sipedge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// maxRequest is the largest request in bytes over a path that is not known to
// be safe (RFC 3428, section 8).
const maxRequest = 1300

// maxSentBy is how much the library adds to the Via of a request over a
// connection: an IPv6 address and a port.
const maxSentBy = 47

// compose builds the MESSAGE of a delivery to a hop. Call-ID, CSeq, From tag
// and branch come from the delivery's id and its turn, so that a
// repetition, even after a restart, is one to the far side, too. No text from
// elsewhere can leave the line it stands in. The Call-ID begins with the id as
// it is: who looks at the wire finds the message in the log.
func (e *Edge) compose(d event.Delivery, h hop) (*sip.Request, error) {
	var target sip.Uri
	if err := sip.ParseUri(h.Contact, &target); err != nil {
		return nil, fmt.Errorf("contact: %w", err)
	}
	from, err := e.party(d.From)
	if err != nil {
		return nil, fmt.Errorf("sender %q: %w", d.From, err)
	}
	to, err := e.party(d.Target)
	if err != nil {
		return nil, fmt.Errorf("recipient %q: %w", d.Target, err)
	}
	if err := checkType(d.MediaType); err != nil {
		return nil, &unfit{err.Error()}
	}
	req := sip.NewRequest(sip.MESSAGE, target)
	id := d.ID + h.part
	req.AppendHeader(e.via(id, h))
	for _, uri := range h.Routes {
		req.AppendHeader(sip.NewHeader("Route", "<"+uri+">"))
	}
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(&sip.FromHeader{DisplayName: quoted(d.FromName), Address: from, Params: sip.HeaderParams{{K: "tag", V: token("tag", id)}}})
	req.AppendHeader(&sip.ToHeader{Address: to})
	call := id
	if !isToken(call) {
		call = token("call", id)
	}
	callID := sip.CallIDHeader(call + "@" + strings.Trim(e.domains.first, "[]"))
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: uint32(h.turn) + 1, MethodName: sip.MESSAGE})
	for _, f := range details(d) {
		req.AppendHeader(sip.NewHeader(f.name, f.value))
	}
	req.SetBody(d.Data)
	e.address(req, h.Path)
	return req, nil
}

// details are the headers that say what a message is.
func details(d event.Delivery) []field {
	sent := d.Sent
	if sent.IsZero() {
		sent = time.Now()
	}
	fields := []field{{"Date", sent.UTC().Format(http.TimeFormat)}} // RFC 3428, section 4: goes with Expires
	if !d.Expires.IsZero() {
		left := max(int64(d.Expires.Sub(sent)/time.Second), 1)
		fields = append(fields, field{"Expires", strconv.FormatInt(left, 10)})
	}
	if t := plain(d.Title, maxTitle); t != "" {
		fields = append(fields, field{"Subject", t})
	}
	if isToken(d.Language) {
		fields = append(fields, field{"Content-Language", d.Language})
	}
	return append(fields, field{"User-Agent", serverString}, field{"Content-Type", d.MediaType})
}

// party returns the URI of From or To.
func (e *Edge) party(a event.Address) (u sip.Uri, err error) {
	canonical, err := e.AOR(string(a))
	if err != nil {
		return u, err
	}
	return u, sip.ParseUri(string(canonical), &u)
}

// via asks for the answer to come back the way the request goes (RFC 3581).
// The library fills in the address of a TCP connection.
func (e *Edge) via(id string, h hop) *sip.ViaHeader {
	v := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: sip.NetworkToUpper(h.Path.Network)}
	v.Params.Add("branch", sip.RFC3261BranchMagicCookie+token("branch", id, h.Contact, strconv.Itoa(h.turn), h.branch))
	v.Params.Add("rport", "")
	if h.Path.Network != "udp" {
		return v
	}
	host, port, err := net.SplitHostPort(e.listener(h.Path.Local))
	if err != nil {
		return v
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = strings.Trim(e.domains.first, "[]")
	}
	v.Host = host
	v.Port, _ = strconv.Atoi(port)
	return v
}

// address sets the way a request goes: from the listening socket to the far
// end, or along its connection.
func (e *Edge) address(req *sip.Request, p path) {
	req.SetDestination(p.Source)
	if p.Network != "udp" {
		req.SetTransport("TCP") // the library knows no other connections
		return                  // a local address would pick any connection of the listener
	}
	req.SetTransport("UDP")
	host, port, err := net.SplitHostPort(e.listener(p.Local))
	if err == nil {
		req.Laddr.IP = net.ParseIP(host)
		req.Laddr.Port, _ = strconv.Atoi(port)
	}
}

// listener returns the UDP socket that has a local address, or any.
func (e *Edge) listener(local string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.udp {
		if c.LocalAddr().String() == local {
			return local
		}
	}
	if len(e.udp) == 0 {
		return ""
	}
	return e.udp[0].LocalAddr().String()
}

// fits refuses a request that is too large for its path. Over UDP none is safe
// (RFC 3261, section 18.1.1).
func fits(req *sip.Request, d event.Delivery, safe bool) error {
	if len(d.Data) > MaxBody {
		return &unfit{fmt.Sprintf("a text of %d bytes; over SIP at most %d go", len(d.Data), MaxBody)}
	}
	size := len(req.String())
	if req.Transport() != "UDP" {
		size += maxSentBy
	}
	room := maxRequest - (size - len(d.Data))
	switch {
	case size <= maxRequest:
	case req.Transport() == "UDP":
		return tooLarge{fmt.Sprintf("a request of %d bytes (text: %d); over UDP at most %d go", size, len(d.Data), maxRequest), room}
	case !safe:
		return tooLarge{fmt.Sprintf("a request of %d bytes (text: %d); the way beyond the next server is not known to take more than %d", size, len(d.Data), maxRequest), room}
	}
	return nil
}

// token derives an opaque name from an id.
func token(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
