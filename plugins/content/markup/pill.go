package markup

import (
	"net/url"
	"strings"
)

// pill returns the Matrix identifier that a link stands for, of a user ("@"),
// an alias ("#") or a room ("!"), or "". Matrix specification, appendices,
// "matrix.to navigation"; links to single events are no mentions.
func pill(href string) string {
	rest, ok := strings.CutPrefix(href, "https://matrix.to/#/")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "?")
	id, err := url.PathUnescape(rest)
	if err != nil || !isMatrixID(id) {
		return ""
	}
	return id
}

// pillURL returns the link that stands for an identifier.
func pillURL(id string) string {
	return "https://matrix.to/#/" + encode(strings.NewReplacer("%", "%25", "/", "%2F", "?", "%3F", "#", "%23", "!", "%21").Replace(id))
}

// isMatrixID tells of an identifier of a user, alias or room: a sigil, a local
// part and a server name, at most 255 bytes.
func isMatrixID(id string) bool {
	if len(id) < 4 || len(id) > 255 || !strings.Contains("@#!", id[:1]) {
		return false
	}
	local, server, ok := strings.Cut(id[1:], ":")
	return ok && local != "" && server != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return r <= ' ' || r >= 0x7F || strings.ContainsRune("<>\"'`\\{}|^", r)
	}) && !strings.ContainsFunc(server, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(".-:[]", r))
	})
}

// called returns how a mention is shown. Its words are the sender's choice: a
// name is taken, but not one that could be another identifier.
func called(name, id string) string {
	bare := strings.TrimLeft(name, "@#!")
	if bare == "" || len(name) > 128 || strings.ContainsAny(bare, ":@#/") {
		return id
	}
	if id[0] == '!' {
		return "#" + bare
	}
	return id[:1] + bare
}
