package email

import "strings"

// vouched tells whether the server named id has found that the owner of the
// domain in the mail's From takes it for genuine: a DMARC result of pass (RFC
// 7489, section 11.2; RFC 8601).
//
// Anybody can write such a field into a mail. Those of our server stand above
// all others, and it has to remove older ones with its name (RFC 8601, section
// 5). So only the topmost fields count, as far as they are in its name, and of
// those the first DMARC result.
func (l *letter) vouched(id string) bool {
	from, _, err := l.from()
	_, domain, ok := splitAddress(from)
	if err != nil || !ok || id == "" {
		return false
	}
	begun := false
	for _, f := range l.header {
		if f.name == "received" && begun {
			return false
		}
		if f.name != "authentication-results" {
			continue
		}
		begun = true
		parts := splitResults(f.value)
		server, _, _ := strings.Cut(parts[0], " ")
		if !strings.EqualFold(server, id) {
			return false
		}
		for _, p := range parts[1:] {
			if result, about, found := dmarc(p); found {
				return result == "pass" && (about == "" || asciiDomain(about) == asciiDomain(domain)) && asciiDomain(domain) != ""
			}
		}
	}
	return false
}

// dmarc reads one result, such as "dmarc=pass header.from=example.com".
func dmarc(s string) (result, about string, found bool) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return "", "", false
	}
	method, result, ok := strings.Cut(strings.ToLower(words[0]), "=")
	method, _, _ = strings.Cut(method, "/")
	if !ok || method != "dmarc" {
		return "", "", false
	}
	for _, w := range words[1:] {
		if name, value, ok := strings.Cut(w, "="); ok && strings.EqualFold(name, "header.from") {
			about = value
		}
	}
	return result, about, true
}

// splitResults cuts the value of a field at its semicolons, without its
// comments and quotes, and with no space around "=". There is at least one
// part.
func splitResults(s string) []string {
	var parts []string
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '\\' && (quoted || depth > 0) && i+1 < len(s):
			i++
			if depth == 0 {
				b.WriteByte('_') // an escaped byte is part of no word we look for
			}
		case quoted:
			if quoted = ch != '"'; quoted && ch != ';' && ch != '=' && ch != ' ' {
				b.WriteByte(ch)
			}
		case ch == '(':
			depth++
		case ch == ')' && depth > 0:
			depth--
		case depth > 0:
		case ch == '"':
			quoted = true
		case ch == ';':
			parts = append(parts, tighten(b.String()))
			b.Reset()
		default:
			b.WriteByte(ch)
		}
	}
	return append(parts, tighten(b.String()))
}

func tighten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ReplaceAll(strings.ReplaceAll(s, " =", "="), "= ", "=")
}
