package slacktest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A File is one that somebody has added.
type File struct {
	ID, Name, Type string
	Channel        string // where it is shown; "" if nowhere yet
	ThreadTS       string
	Data           []byte
	length         int
	mine           bool // the app has added it
	deleted        bool
}

// Files returns the files that are shown in a channel, in order.
func (s *Server) Files(channel string) (list []File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.Channel == channel && channel != "" && !f.deleted {
			list = append(list, *f)
		}
	}
	return list
}

// Attach returns a file of a person's as it stands in an event.
func (s *Server) Attach(name, mediaType string, data []byte) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &File{ID: s.id("F"), Name: name, Type: mediaType, Data: data}
	s.files = append(s.files, f)
	return map[string]any{
		"id": f.ID, "name": name, "title": name, "mimetype": mediaType, "size": len(data), "mode": "hosted",
		"url_private": s.http.URL + "/files-pri/" + f.ID, "url_private_download": s.http.URL + "/files-pri/" + f.ID + "/download",
	}
}

// uploadURL is files.getUploadURLExternal. It is called with s.mu held.
func (s *Server) uploadURL(args url.Values) object {
	length, err := strconv.Atoi(args.Get("length"))
	switch {
	case s.options.NoFiles:
		return object{"ok": false, "error": "missing_scope", "needed": "files:write", "provided": s.scopes()}
	case args.Get("filename") == "" || err != nil || length <= 0:
		return failed("invalid_arguments")
	case s.faults.largest > 0 && length > s.faults.largest:
		return failed("file_upload_size_restricted")
	}
	f := &File{ID: s.id("F"), Name: args.Get("filename"), length: length, mine: true}
	s.files = append(s.files, f)
	return object{"ok": true, "upload_url": s.http.URL + "/upload/v1/" + f.ID, "file_id": f.ID}
}

// complete is files.completeUploadExternal. It is called with s.mu held.
func (s *Server) complete(args url.Values) object {
	var list []struct{ ID, Title string }
	c := s.visible(args.Get("channel_id"))
	switch {
	case json.Unmarshal([]byte(args.Get("files")), &list) != nil || len(list) == 0:
		return failed("invalid_arguments")
	case c == nil:
		return failed("channel_not_found")
	case !c.bot:
		return failed("not_in_channel")
	case args.Get("thread_ts") != "" && c.find(args.Get("thread_ts")) == nil:
		return failed("thread_not_found")
	}
	done := []object{}
	for _, one := range list {
		f := s.file(one.ID)
		if f == nil || f.Data == nil || f.Channel != "" { // it can be called once for each
			return failed("file_not_found")
		}
		f.Channel, f.ThreadTS = c.id, args.Get("thread_ts")
		done = append(done, object{"id": f.ID, "title": one.Title})
	}
	s.tell()
	return object{"ok": true, "files": done}
}

// fileInfo is files.info. It is called with s.mu held.
func (s *Server) fileInfo(args url.Values) object {
	f := s.file(args.Get("file"))
	switch {
	case s.options.NoFiles:
		return object{"ok": false, "error": "missing_scope", "needed": "files:read", "provided": s.scopes()}
	case f == nil || f.mine && f.Channel == "":
		return failed("file_not_found")
	case f.deleted:
		return failed("file_deleted")
	}
	info := object{"id": f.ID, "name": f.Name, "size": len(f.Data), "channels": []string{}, "groups": []string{}, "ims": []string{}}
	if c := s.channels[f.Channel]; c != nil {
		where := "channels"
		switch {
		case c.with != "":
			where = "ims"
		case c.private:
			where = "groups"
		}
		info[where] = []string{c.id}
	}
	return object{"ok": true, "file": info}
}

// deleteFile is files.delete. It is called with s.mu held.
func (s *Server) deleteFile(args url.Values) object {
	f := s.file(args.Get("file"))
	switch {
	case s.options.NoFiles:
		return object{"ok": false, "error": "missing_scope", "needed": "files:write", "provided": s.scopes()}
	case f == nil:
		return failed("file_not_found")
	case f.deleted:
		return failed("file_deleted")
	case !f.mine || s.faults.kept:
		return failed("cant_delete_file")
	}
	f.deleted = true
	s.tell()
	return object{"ok": true}
}

// file is called with s.mu held.
func (s *Server) file(id string) *File {
	for _, f := range s.files {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// serveFile takes an upload, or gives a file to whoever has the token: without
// the scope Slack shows its page to log in.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) bool {
	if id, ok := strings.CutPrefix(r.URL.Path, "/upload/v1/"); ok && r.Method == http.MethodPost {
		s.takeUpload(w, r, id)
		return true
	}
	id, ok := strings.CutPrefix(r.URL.Path, "/files-pri/")
	if !ok {
		return false
	}
	s.mu.Lock()
	f, faults := s.file(strings.TrimSuffix(id, "/download")), s.faults
	s.mu.Unlock()
	switch {
	case faults.status != 0:
		http.Error(w, "this went wrong", faults.status)
	case s.options.NoFiles || r.Header.Get("Authorization") != "Bearer "+s.BotToken:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>Sign in to Slack</html>") // into a connection
	case f == nil:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", f.Type)
		_, _ = w.Write(f.Data) // into a connection
	}
	return true
}

func (s *Server) takeUpload(w http.ResponseWriter, r *http.Request, id string) {
	var from io.Reader = r.Body
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		part, _, err := r.FormFile("file")
		if err != nil {
			http.Error(w, "no file", http.StatusBadRequest)
			return
		}
		defer part.Close()
		from = part
	}
	data, err := io.ReadAll(from)
	s.mu.Lock()
	if s.faults.requests == nil {
		s.faults.requests = map[string]int{}
	}
	s.faults.requests["upload"]++
	wait := s.faults.slow["upload"]
	s.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return
		case <-s.ctx.Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.file(id)
	if err != nil || f == nil || len(data) != f.length {
		http.Error(w, "not what was announced", http.StatusBadRequest)
		return
	}
	f.Data = data
	_, _ = io.WriteString(w, "OK") // into a connection
}
