package httpd

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FilesPath begins the paths of links to files. They are for anybody who has
// one: nobody is asked for the password.
const FilesPath = "/f/"

// Errors of a Files function, for errors.Is.
var (
	ErrNoFile      = errors.New("there is no such file")     // answered 404
	ErrFileGone    = errors.New("the file is gone")          // answered 410
	ErrFileRefused = errors.New("the file is not given out") // answered 403
)

// File is one that is served. The door closes its Body.
type File struct {
	Name      string
	MediaType string
	Size      int64
	Body      io.ReadCloser
}

// Files opens the file that a link names by its token and the path of a part.
type Files func(ctx context.Context, token, part string) (File, error)

// Files sets what the links below FilesPath lead to.
func (d *Door) Files(open Files) {
	d.mux.HandleFunc("GET "+FilesPath+"{token}/{part}/{name...}", func(w http.ResponseWriter, r *http.Request) {
		f, err := open(r.Context(), r.PathValue("token"), r.PathValue("part"))
		if err != nil {
			d.noFile(w, err)
			return
		}
		defer f.Body.Close()
		fileHeaders(w.Header(), f)
		if r.Method == http.MethodHead {
			return
		}
		if err := copyFile(w, f.Body); err != nil {
			d.log.Debug("file not fetched to its end", "err", err)
			panic(http.ErrAbortHandler) // the length was promised
		}
	})
}

func (d *Door) noFile(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrNoFile):
		refuse(w, http.StatusNotFound, "This link leads nowhere.")
	case errors.Is(err, ErrFileGone):
		refuse(w, http.StatusGone, "This link has expired, or the file is not kept any more.")
	case errors.Is(err, ErrFileRefused):
		refuse(w, http.StatusForbidden, "This kind of file is not given out here.")
	default:
		d.log.Warn("file not served", "err", err)
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "The file can't be read at the moment; try again.")
	}
}

// fileHeaders has browsers save the file, whatever it says that it is: shown
// in place it would be a page of this site.
func fileHeaders(h http.Header, f File) {
	kind := f.MediaType
	if _, _, err := mime.ParseMediaType(kind); err != nil {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
}

// isFile tells whether a request is for a link's file.
func isFile(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, FilesPath) }

// filePatience is how long a piece of a file may take to be taken.
const filePatience = 30 * time.Second

// copyFile sends a body piece by piece, as long as somebody takes them.
func copyFile(w http.ResponseWriter, body io.Reader) error {
	c := http.NewResponseController(w)
	piece := make([]byte, 64<<10)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(filePatience)) // not there in tests without a connection
			if _, err := w.Write(piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
