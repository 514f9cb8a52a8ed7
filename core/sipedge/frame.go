package sipedge

import (
	"bytes"
	"math"
	"net"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// What is here looks at messages before the library does: where they end, and
// whether it can read them at all.

var (
	crlf    = []byte("\r\n")
	endHead = []byte("\r\n\r\n")
)

// split cuts a message behind the empty line that ends its header.
func split(msg []byte) (head, body []byte, ok bool) {
	i := bytes.Index(msg, endHead)
	if i < 0 {
		return nil, nil, false
	}
	return msg[:i+len(endHead)], msg[i+len(endHead):], true
}

// bodyLength reads the Content-Length of a header: -1 if there is none. The
// text is what is wrong with it, or empty.
func bodyLength(head []byte) (n int, wrong string) {
	n = -1
	var line []byte
	for _, rest := nextLine(head); len(rest) > 0; {
		line, rest = nextLine(rest)
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(line) == 0 || isBlank(line[0]) || !isLength(bytes.TrimSpace(name)) {
			continue
		}
		if n >= 0 {
			return 0, "More than one Content-Length"
		}
		for len(rest) > 0 && isBlank(rest[0]) { // folded: RFC 3261, section 7.3.1
			line, rest = nextLine(rest)
			value = append(bytes.Clone(value), line...)
		}
		digits := string(bytes.Trim(value, " \t"))
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return 0, "Unreadable Content-Length"
		}
		length, err := strconv.ParseInt(digits, 10, 32)
		if err != nil {
			length = math.MaxInt32
		}
		n = int(length)
	}
	return n, ""
}

func nextLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, crlf)
	return line, rest
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isLength(name []byte) bool {
	return bytes.EqualFold(name, []byte("Content-Length")) || bytes.EqualFold(name, []byte("l"))
}

// returnAddress is where the answer to a datagram goes (RFC 3261, section
// 18.2.2, and RFC 3581): to its source, to the port that the Via says.
func returnAddress(source *net.UDPAddr, via *sip.ViaHeader) *net.UDPAddr {
	if via.Params.Has("rport") {
		return source
	}
	to := *source
	if to.Port = via.Port; to.Port <= 0 || to.Port > math.MaxUint16 {
		to.Port = sip.DefaultUdpPort
	}
	return &to
}
