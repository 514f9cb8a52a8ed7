package sipedge

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// typeRefused says that the far side does not take the type of a message, and
// what it takes if it says so.
type typeRefused struct {
	err    error
	accept []string
}

func (t *typeRefused) Error() string { return "it does not take this type: " + t.err.Error() }

// verdict turns a final response into what it means for the message (RFC 3428,
// section 4; RFC 3261, section 21). 202 is no delivery and 200 no reading.
// repeated says that the far side may have got the message before.
func verdict(res *sip.Response, d event.Delivery, repeated bool) (event.Receipt, error) {
	code := res.StatusCode
	err := fmt.Errorf("it answered %d %s", code, plain(res.Reason, 200))
	switch {
	case code/100 == 3:
		return event.Receipt{}, event.Permanent(fmt.Errorf("%w: redirections of phones are not followed", err))
	case code == 415 || (code == 406 || code == 488) && bareType(d.MediaType) != "text/plain": // "not acceptable" in this form
		return event.Receipt{}, event.Permanent(&typeRefused{err, accepted415(res)})
	case code == 202:
		return event.Receipt{State: event.Accepted}, nil
	case code/100 == 2:
		return event.Receipt{State: event.Delivered}, nil
	case code == 482 && repeated: // it knows the message already
		return event.Receipt{State: event.Delivered}, nil
	case code == 401 || code == 407:
		return event.Receipt{}, event.Permanent(fmt.Errorf("it asks for credentials: %w", err))
	case code == 403 || code/100 == 6:
		return event.Receipt{}, event.Refused(err)
	case code == 408 || code == 430:
		return event.Receipt{}, event.Retry(event.ScopeTarget, event.UntilWoken, err)
	case code == 503:
		return event.Receipt{}, event.Retry(event.ScopeTarget, wait(res), err)
	case passing[code]:
		return event.Receipt{}, event.Retry(event.ScopeTarget, 0, err)
	}
	return event.Receipt{}, event.Permanent(err)
}

// accepted415 reads the Accept of a response.
func accepted415(res *sip.Response) []string {
	return accepts(func(yield func(string) bool) {
		for _, h := range res.GetHeaders("Accept") {
			for m := range strings.SplitSeq(h.Value(), ",") {
				if !yield(m) {
					return
				}
			}
		}
	})
}

// passing are the responses that may be another one later.
var passing = map[int]bool{480: true, 486: true, 491: true, 500: true, 502: true, 504: true}

// wait returns what Retry-After asks for, at most an hour; 0 if nothing.
func wait(res *sip.Response) time.Duration {
	h := res.GetHeader("Retry-After")
	if h == nil {
		return 0
	}
	text := strings.TrimSpace(h.Value())
	if i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		text = text[:i]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}
