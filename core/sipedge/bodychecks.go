package sipedge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"parley.im/plugins/content/cms"
)

func checkSize(e *Edge, r request) answer {
	if most := e.warden.limits().Body; len(r.Body()) > most {
		return say(413, fmt.Sprintf("Request Entity Too Large: at most %d bytes", most))
	}
	return answer{}
}

// dispositions are the uses of a body that are understood here: all mean that a
// person reads it, or that nobody has to.
var dispositions = []string{"render", "inline", "attachment", "icon", "notification", "session"}

// checkDisposition refuses a body for another use, if its sender does not leave
// it to us to ignore that (RFC 3261, section 20.11).
func checkDisposition(_ *Edge, r request) answer {
	kind, params, _ := strings.Cut(strings.ToLower(r.value("Content-Disposition")), ";")
	if kind = strings.TrimSpace(kind); kind == "" || slices.Contains(dispositions, kind) {
		return answer{}
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.TrimSpace(name) == "handling" && strings.TrimSpace(value) == "optional" {
			return answer{}
		}
	}
	return say(415, "Unsupported Media Type: a body to "+plain(kind, 32)+" is not understood here", field{"Accept", accepted})
}

// signedFor is how far from now the Date of a signed message may be.
const signedFor = time.Hour

// checkDate refuses a signed message that is stale, or of the future: it may be
// a repetition by somebody else (M22; RFC 3428, section 11.4). A trunk may have
// stored it on the way.
func checkDate(r request, who sender, kind string, now time.Time) answer {
	if who.account == (claim{}) || kind != "multipart/signed" && !cms.Is(kind) {
		return answer{}
	}
	sent, err := http.ParseTime(r.value("Date"))
	if err == nil && now.Sub(sent).Abs() > signedFor {
		return say(400, "Incorrect Date or Time")
	}
	return answer{}
}
