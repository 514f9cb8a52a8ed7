package matrixtest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A File is one that was uploaded.
type File struct {
	Name, Type string
	Data       []byte
}

// File returns the file of an mxc URI.
func (s *Server) File(uri string) (File, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[strings.TrimPrefix(uri, "mxc://"+s.Domain+"/")]
	return f, ok
}

// Upload keeps a file of a human's and returns its mxc URI.
func (h *Human) Upload(f File) string {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.keep(f)
}

// LimitFiles has the homeserver refuse larger files.
func (s *Server) LimitFiles(bytes int64) { s.fault(func(f *faults) { f.largest = bytes }) }

// keep is called with mu held.
func (s *Server) keep(f File) string {
	s.last++
	name := "file" + strconv.Itoa(s.last)
	if s.files == nil {
		s.files = map[string]File{}
	}
	s.files[name] = f
	return "mxc://" + s.Domain + "/" + name
}

// serveMedia is the content repository. Matrix specification, client API,
// "Content repository": fetching asks who does it since version 1.11.
func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/_matrix/media/v3/upload" && r.Method == http.MethodPost {
		answer, err := s.upload(r)
		write(w, answer, err)
		return true
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/_matrix/client/v1/media/download/")
	if !ok || r.Method != http.MethodGet {
		return false
	}
	if _, err := s.read(r, nil); err != nil {
		write(w, nil, err)
		return true
	}
	f, ok := s.File("mxc://" + path)
	if !ok {
		write(w, nil, notFound("Media not found"))
		return true
	}
	s.mu.Lock()
	broken := s.faults.broken
	s.mu.Unlock()
	w.Header().Set("Content-Type", f.Type)
	if broken {
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Data)+1))
	}
	_, _ = w.Write(f.Data) // into a connection
	return true
}

func (s *Server) upload(r *http.Request) (any, error) {
	who := *r
	who.Method = http.MethodGet // the body is no JSON
	if _, err := s.read(&who, nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	largest := s.faults.largest
	s.mu.Unlock()
	if largest > 0 && r.ContentLength > largest {
		return nil, refuse(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "Upload request body is too large")
	}
	data, err := io.ReadAll(r.Body)
	if err != nil || int64(len(data)) != r.ContentLength {
		return nil, refuse(http.StatusBadRequest, "M_UNKNOWN", "The body broke off")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{"content_uri": s.keep(File{r.URL.Query().Get("filename"), r.Header.Get("Content-Type"), data})}, nil
}
