package sipedge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"parley.im/core/sipedge/internal/tune"
)

const (
	maxHead = 64 << 10        // largest header on a stream, in bytes
	lingers = time.Second     // for a peer to read a last answer
	spare   = 64 << 10        // a buffer that has grown beyond is not kept
	goodbye = 1 * time.Second // for a last word to a peer
)

// A wire cuts a connection into SIP messages. next is called by one goroutine;
// write and bye by one at a time.
type wire interface {
	next() ([]byte, error) // the next whole message, valid until the next call
	write(msg []byte) error
	bye() // says that the connection is closed
}

var errRefused = errors.New("what came was refused")

// stream is TCP or TLS: the Content-Length says where a message ends (RFC
// 3261, section 18.3).
type stream struct {
	f     *flow
	conn  net.Conn
	r     *bufio.Reader
	buf   bytes.Buffer // the message
	fresh bool         // nothing has come yet
}

func newStream(f *flow, conn net.Conn) *stream {
	return &stream{f: f, conn: conn, r: bufio.NewReaderSize(conn, 4096), fresh: true}
}

func (s *stream) limits() *Limits { return s.f.table.warden.limits() }

func (s *stream) wait(d time.Duration) { s.conn.SetReadDeadline(time.Now().Add(d)) }

// next reads one message. One that can't be told from what follows it is
// answered, and the connection is over.
func (s *stream) next() ([]byte, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	if s.buf.Cap() > spare {
		s.buf = bytes.Buffer{}
	}
	s.buf.Reset()
	if err := s.head(); err != nil {
		return nil, err
	}
	n, wrong := bodyLength(s.buf.Bytes())
	switch {
	case !looksLikeSIP(s.buf.Bytes()):
		return nil, s.refuse(0, "")
	case wrong != "":
		return nil, s.refuse(400, wrong)
	case n < 0:
		return nil, s.refuse(400, "Missing Content-Length")
	case n > tune.MaxMessage-s.buf.Len():
		return nil, s.refuse(413, fmt.Sprintf("Request Entity Too Large: at most %d bytes", MaxBody))
	}
	s.wait(s.limits().Header)
	if _, err := io.CopyN(&s.buf, s.r, int64(n)); err != nil {
		return nil, s.ended(err, &s.f.table.warden.count.slow)
	}
	return s.buf.Bytes(), nil
}

// begin waits for the first byte of a message. Two line ends are a ping and
// are answered by one (RFC 5626, section 4.4.1).
func (s *stream) begin() error {
	if s.fresh {
		s.wait(s.limits().Header) // from the beginning, whatever keeps alive meanwhile
	}
	for at := 0; ; {
		if !s.fresh && s.r.Buffered() == 0 {
			s.wait(s.limits().Idle)
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return s.ended(err, &s.f.table.warden.count.idle)
		}
		if c != endHead[at] {
			s.fresh = false
			return s.r.UnreadByte()
		}
		if at++; at < len(endHead) {
			continue
		}
		at = 0
		if _, err := s.f.Write(crlf); err != nil {
			return err
		}
	}
}

// head reads up to the empty line.
func (s *stream) head() error {
	s.wait(s.limits().Header)
	for !bytes.HasSuffix(s.buf.Bytes(), endHead) {
		part, err := s.r.ReadSlice('\n')
		s.buf.Write(part)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return s.ended(err, &s.f.table.warden.count.slow)
		}
		if s.buf.Len() > maxHead {
			return s.refuse(513, "Message Too Large")
		}
	}
	return nil
}

// ended counts a read that took too long.
func (s *stream) ended(err error, late interface{ Add(uint64) uint64 }) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		late.Add(1)
	}
	return err
}

// refuse answers what has been read of a message, if it can be answered, and
// ends the connection: nobody knows where the next message begins. It lets the
// peer read the answer first.
func (s *stream) refuse(code int, phrase string) error {
	s.f.malformed()
	if res := s.refusal(code, phrase); res != nil {
		if _, err := s.f.Write(res); err != nil {
			return err
		}
		if c, ok := s.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
			s.wait(lingers)
			_, _ = io.CopyN(io.Discard, s.r, 1<<20)
		}
	}
	return errRefused
}

func (s *stream) refusal(code int, phrase string) []byte {
	head := s.buf.Bytes()
	if code == 0 {
		return nil
	}
	if i := bytes.LastIndex(head, crlf); !bytes.HasSuffix(head, endHead) && i >= 0 {
		head = append(bytes.Clone(head[:i]), endHead...)
	}
	res := refusal(head, s.conn.RemoteAddr().String(), say(code, phrase))
	if res == nil {
		return nil
	}
	return []byte(res.String())
}

func (s *stream) write(msg []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(s.limits().Write))
	_, err := s.conn.Write(msg)
	return err
}

// bye tells the end of TLS; TCP needs no words.
func (s *stream) bye() {
	if s.conn != s.f.Conn {
		s.conn.SetWriteDeadline(time.Now().Add(goodbye))
		_ = s.conn.(interface{ CloseWrite() error }).CloseWrite()
	}
}
