package sipedge

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
)

// encodings are the codings in which bodies are taken (RFC 3261, section 20.2).
const encodings = "identity, deflate, gzip"

// coding returns what the body of a request was compressed with, "" if with
// nothing.
func (r request) coding() string {
	var list []string
	for v := range r.members("Content-Encoding", "e") {
		if v = strings.ToLower(v); v != "" && v != "identity" {
			list = append(list, v)
		}
	}
	return strings.Join(list, ", ")
}

// decoder undoes a coding; nil for one that is not known here, and for several
// on top of each other, which nobody uses.
func decoder(coding string) func(io.Reader) (io.Reader, error) {
	switch coding {
	case "deflate":
		return func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }
	case "gzip":
		return func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	}
	return nil
}

// checkEncoding refuses bodies that can't be decompressed here, but for those
// that phones send by themselves, which nobody misses.
func checkEncoding(_ *Edge, r request) answer {
	if c := r.coding(); c != "" && decoder(c) == nil && !isSignal(mediaType(r.ContentType())) {
		return say(415, "Unsupported Media Type: a body compressed with "+plain(c, 32),
			field{"Accept-Encoding", encodings}, field{"Accept", accepted})
	}
	return answer{}
}

// decompress puts the body in place of the compressed one. Linphone compresses
// what it sends by itself, in CPIM, too, and nothing it sends by itself is
// refused: a phone that is may give up the texts that follow.
func (e *Edge) decompress(r request) answer {
	open := decoder(r.coding())
	if open == nil {
		return answer{}
	}
	most := e.warden.limits().Body
	body, err := inflated(open, r.Body(), most)
	switch {
	case isSignal(mediaType(r.ContentType())) && (err != nil || len(body) > most):
	case err != nil:
		return say(400, "Unreadable body: "+plain(err.Error(), maxTitle))
	case len(body) > most:
		return say(413, fmt.Sprintf("Request Entity Too Large: at most %d bytes", most))
	default:
		r.SetBody(body)
	}
	return answer{}
}

// inflated returns a decompressed body, of which one byte more than most is
// enough.
func inflated(open func(io.Reader) (io.Reader, error), data []byte, most int) ([]byte, error) {
	z, err := open(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, int64(most)+1))
}
