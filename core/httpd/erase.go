package httpd

import (
	"context"
	"encoding/json"
	"net/http"

	"parley.im/bus/event"
)

// serveErase erases the user whose address is a JSON string.
func (o *Operator) serveErase(w http.ResponseWriter, r *http.Request) {
	var address event.Address
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLine)).Decode(&address)
	switch {
	case o.Erase == nil:
		refuse(w, http.StatusNotFound, "this host can't erase")
		return
	case err != nil || address == "":
		refuse(w, http.StatusBadRequest, "give an address as a string of JSON")
		return
	}
	done, err := o.Erase(r.Context(), caller(r.Context()), address)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	o.answer(w, done)
}

// Erase has the host remove a user from its store and returns what was
// removed, in words.
func (c *Client) Erase(ctx context.Context, address event.Address) (done []string, err error) {
	return c.words(ctx, "/v1/erase", address)
}
