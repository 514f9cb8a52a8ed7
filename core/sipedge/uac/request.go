package uac

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Send sends a MESSAGE and returns its final response, whatever its code. A
// challenge is answered once; the nonce is used again for the next requests.
// An error means that there was no final response.
func (c *Client) Send(ctx context.Context, to, contentType string, body []byte) (Response, error) {
	if strings.ContainsFunc(contentType, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return Response{}, fmt.Errorf("content type %q", contentType)
	}
	var seq uint32
	next := func() uint32 { seq++; return seq }
	return c.request(ctx, sip.MESSAGE, to, to, rand.Text(), next, func(r *sip.Request) {
		r.AppendHeader(sip.NewHeader("Date", time.Now().UTC().Format(http.TimeFormat)))
		r.AppendHeader(sip.NewHeader("Content-Type", contentType))
		r.SetBody(body)
	})
}

// Register registers the Client's own address for a time, 0 ends it, and
// returns the final response. Messages then come to Receive.
func (c *Client) Register(ctx context.Context, expires time.Duration) (Response, error) {
	next := func() uint32 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.regSeq++
		return c.regSeq
	}
	return c.request(ctx, sip.REGISTER, "sip:"+c.host, c.From, c.regID, next, func(r *sip.Request) {
		r.AppendHeader(sip.NewHeader("Contact", fmt.Sprintf("<sip:%s;transport=%s>", c.local, c.Network)))
		r.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(expires/time.Second))))
		r.SetBody(nil)
	})
}

// request makes one or, when challenged, two exchanges. next gives the CSeq.
func (c *Client) request(ctx context.Context, m sip.RequestMethod, uri, to, callID string, next func() uint32, fill func(*sip.Request)) (Response, error) {
	tag := rand.Text()
	seq := next()
	for try := 1; ; try++ {
		req, err := c.build(m, uri, to, callID, tag, seq)
		if err != nil {
			return Response{}, err
		}
		fill(req)
		if err := c.proof.Authorize(req); err != nil {
			return Response{}, err
		}
		res, err := c.exchange(ctx, req)
		if err != nil {
			return Response{}, err
		}
		if try == 1 && (res.StatusCode == 401 || res.StatusCode == 407) && c.proof.Take(res) == nil {
			seq = next()
			continue
		}
		return Response{res.StatusCode, res.Reason}, nil
	}
}

func (c *Client) build(m sip.RequestMethod, uri, to, callID, tag string, seq uint32) (*sip.Request, error) {
	var target, peer, me sip.Uri
	for _, p := range []struct {
		text string
		uri  *sip.Uri
	}{{uri, &target}, {to, &peer}, {c.From, &me}} {
		if err := parse(p.text, p.uri); err != nil {
			return nil, err
		}
	}
	req := sip.NewRequest(m, target)
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: strings.ToUpper(c.Network)}
	via.Params.Add("branch", sip.GenerateBranch())
	via.Params.Add("rport", "")
	req.AppendHeader(via)
	req.AppendHeader(&sip.FromHeader{Address: me, Params: sip.HeaderParams{{K: "tag", V: tag}}})
	req.AppendHeader(&sip.ToHeader{Address: peer})
	id := sip.CallIDHeader(callID)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: m})
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(sip.NewHeader("User-Agent", "Parley"))
	req.SetTransport(strings.ToUpper(c.Network))
	req.SetDestination(c.server)
	if a, ok := c.local.(*net.UDPAddr); ok {
		req.Laddr.IP, req.Laddr.Port = a.IP, a.Port
	}
	return req, nil
}

// exchange sends a request and waits for its final response.
func (c *Client) exchange(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	tx, err := c.ua.TransactionLayer().Request(ctx, req)
	if err != nil {
		return nil, err
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			if err := tx.Err(); err != nil {
				return nil, err
			}
			return nil, errors.New("no final response")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
