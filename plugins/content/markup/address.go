package markup

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"parley.im/plugins/content"
)

// maxURL is the longest address that is kept, in bytes.
const maxURL = 4096

// schemes are those that an address may have, and whether it names a host
// behind "//". Nothing here runs, reads files or carries its own content.
var schemes = map[string]bool{
	"http": true, "https": true, "ftp": true, "mxc": true,
	"mailto": false, "tel": false, "sip": false, "sips": false, "im": false, "xmpp": false, "matrix": false,
}

// address returns an address as it may be shown as a link: of an allowed
// scheme, with a host in ASCII where there is one, without a user that could
// be taken for the host, and with nothing in it that ends it in any form.
func address(raw string) (string, bool) {
	raw = strings.Map(func(r rune) rune { // URL Standard, section 4.4: browsers pass over these
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, strings.Trim(raw, " \t\r\n\f"))
	scheme, rest, ok := strings.Cut(raw, ":")
	scheme = strings.ToLower(scheme)
	onWeb, allowed := schemes[scheme]
	if !ok || !allowed || rest == "" || len(raw) > maxURL || strings.ContainsFunc(raw, refused) {
		return "", false
	}
	if !onWeb {
		if strings.HasPrefix(rest, "//") {
			return "", false
		}
		return scheme + ":" + encode(rest), true
	}
	u, err := url.Parse(scheme + ":" + rest)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	host := u.Hostname()
	if !isASCII(host) {
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false
		}
	}
	if strings.ContainsAny(host, "%<>\"'`{}|^ ") {
		return "", false
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		host += ":" + p
	}
	_, tail, _ := strings.Cut(rest, "//")
	at := strings.IndexAny(tail, "/?#")
	if at < 0 {
		return scheme + "://" + host, true
	}
	return scheme + "://" + host + encode(tail[at:]), true
}

// refused tells of characters that no address has. A backslash is a slash to
// browsers and none to others.
func refused(r rune) bool {
	return r < ' ' || r == '\\' || r >= 0x7F && r < 0xA0 || r == '\uFFFD' || r >= 0x200B && r <= 0x200F || r >= 0x2028 && r <= 0x202E || r >= 0x2060 && r <= 0x206F || r == 0xFEFF
}

// encode percent-encodes what could end an address, or stand for a mention of
// everybody.
func encode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>^`{|}", c) >= 0,
			c == '%' && !(i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])),
			c == '@' && loud(s[i+1:]) > 0:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// honest gives words to links that have none, and shows where those lead whose
// words name another place.
func honest(nodes []Node, losses *content.Losses) {
	for i := range nodes {
		n := &nodes[i]
		if n.Kind != Link {
			honest(n.Children, losses)
			continue
		}
		switch said := words(n.Children); claim(said, n.URL) {
		case aLie:
			losses.Add(LinkMisleads)
			n.Children = []Node{{Kind: Text, Text: n.URL}}
		case aDoubt:
			if strings.HasSuffix(said, "("+n.URL+")") { // as it was shown before
				continue
			}
			losses.Add(LinkDoubtful)
			n.Children = append(n.Children, Node{Kind: Text, Text: " (" + n.URL + ")"})
		default:
			if strings.TrimSpace(said) == "" {
				n.Children = []Node{{Kind: Text, Text: n.URL}}
			}
		}
	}
}

// What the words of a link say about where it leads.
const (
	aTruth = iota
	aDoubt // they have a name in them that may be that of another host, or of a file or a product
	aLie   // they have the address of another host in them
)

// claim tells what words say about an address.
func claim(words, address string) int {
	worst := aTruth
	for word := range strings.FieldsSeq(visible(words)) {
		switch host, certain := hostIn(word); {
		case host == "" || owner(host) == owner(hostOf(address)):
		case certain:
			return aLie
		default:
			worst = aDoubt
		}
	}
	return worst
}

// visible returns words without the characters that show nothing.
func visible(words string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, words)
}

// hostIn returns the host that a word names for its reader, or "". It is
// certain in something with "://" and in www.…; what else ends in a public
// domain can be the name of a file or a product, too.
func hostIn(word string) (host string, certain bool) {
	word = strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return strings.ContainsRune("<>()[]{}\"'.,;:!?“”„‘’«»", r) }))
	_, rest, web := strings.Cut(word, "://")
	if !web {
		rest = word
	}
	host = hostOf("//" + rest)
	certain = web || strings.HasPrefix(rest, "www.")
	if certain {
		return host, true
	}
	_, top, dotted := cutLast(host, ".")
	if _, public := publicsuffix.PublicSuffix("x." + top); !dotted || !public || strings.ContainsFunc(host, notInHost) {
		return "", false
	}
	return host, false
}

func notInHost(r rune) bool { return r != '.' && r != '-' && !isLetter(r) }

// owner returns the part of a host's name that somebody has registered.
func owner(host string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// hostOf returns the host of an address, or what stands for one.
func hostOf(address string) string {
	if scheme, rest, ok := strings.Cut(address, ":"); ok && !strings.Contains(scheme, "/") {
		address = rest
	}
	host := strings.ToLower(strings.TrimPrefix(address, "//"))
	if at := strings.IndexAny(host, "/?#;\\"); at >= 0 {
		host = host[:at]
	}
	_, host, _ = cutLast(host, "@")
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.TrimPrefix(host, "www."), ".")
}

// cutLast cuts around the last sep; without one all of s is after it.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}
