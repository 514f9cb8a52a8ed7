package mapping

import (
	"fmt"
	"mime"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"parley.im/bus/event"
)

// maxName is the longest name of a file, in bytes.
const maxName = 128

// fileName returns a name without folders, controls and marks that turn the
// direction of writing, made of the type where there is none.
func fileName(raw, mediaType string) string {
	raw = strings.ReplaceAll(strings.ToValidUTF8(raw, "_"), `\`, "/")
	name := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, raw[strings.LastIndexByte(raw, '/')+1:])
	name = strings.Trim(strings.Join(strings.Fields(name), " "), ". ")
	if name == "" {
		return "file" + extension(mediaType)
	}
	if len(name) <= maxName {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 16 {
		ext = ""
	}
	cut := maxName - len(ext)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + ext
}

// extension is that of files of a type, with its dot, or "".
func extension(mediaType string) string {
	kind := bare(mediaType)
	if kind == "text/x-vcard" { // its name of before RFC 6350
		kind = "text/vcard"
	}
	if m := mimetype.Lookup(kind); m != nil {
		return m.Extension()
	}
	return ""
}

// FileType returns the type of a file that begins with data, of whose parameters only the charset of
// text says something.
func FileType(mediaType string, data []byte) string {
	kind, params, err := mime.ParseMediaType(sniffed(mediaType, data))
	switch {
	case err != nil:
		return "application/octet-stream"
	case strings.HasPrefix(kind, "text/") && params["charset"] != "":
		return mime.FormatMediaType(kind, map[string]string{"charset": params["charset"]})
	}
	return kind
}

// sniffed returns the type of a file: what its bytes say where its sender said
// nothing, or something else that is shown without asking.
func sniffed(mediaType string, data []byte) string {
	kind := bare(mediaType)
	group, _, _ := strings.Cut(kind, "/")
	shown := group == "image" || group == "audio" || group == "video"
	if len(data) == 0 || !shown && kind != "application/octet-stream" {
		return mediaType
	}
	is := mimetype.Detect(data)
	if shown && (strings.HasPrefix(is.String(), group+"/") || is.Is("application/octet-stream")) {
		return mediaType
	}
	return is.String()
}

// link is where a part of a message can be fetched, "" if nowhere.
func link(links, path, name string) string {
	if links == "" {
		return ""
	}
	return links + "/" + path + "/" + url.PathEscape(name)
}

// mention says of a file what it is.
func mention(f event.File) string {
	return fmt.Sprintf("%s (%s, %s)", f.Name, bare(f.MediaType), amount(max(f.Size, int64(len(f.Data)))))
}

func amount(n int64) string {
	const k = 1024
	switch {
	case n < k:
		return fmt.Sprintf("%d bytes", n)
	case n < k*k:
		return fmt.Sprintf("%d KB", (n+k-1)/k)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(k*k))
}
