package markup

import (
	neturl "net/url"
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
	id, err := neturl.PathUnescape(rest)
	if err != nil || !isMatrixID(id) {
		return ""
	}
	return id
}

var pillEscapes = strings.NewReplacer("%", "%25", "/", "%2F", "?", "%3F", "#", "%23", "!", "%21")

// isPill tells of an address that clients could show as a mention of somebody
// or of a room, which they do more freely than the specification has it.
func isPill(url string) bool {
	scheme, rest, _ := strings.Cut(url, "://")
	place, id, _ := strings.Cut(rest, "#/")
	if host, _, _ := strings.Cut(place, "/"); scheme != "http" && scheme != "https" || hostOf("https://"+host) != "matrix.to" {
		return false
	}
	id, err := neturl.PathUnescape(id)
	return err == nil && id != "" && strings.Contains("@#!+", id[:1]) && !strings.Contains(id, "/$")
}

// pillURL returns the link that stands for an identifier.
func pillURL(id string) string {
	return "https://matrix.to/#/" + encode(pillEscapes.Replace(id))
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
