package sipedge

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"parley.im/plugins/content/composing"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/transfer"
)

// maxNamed is how many types of an Accept are remembered.
const maxNamed = 32

// A taste is what a device, or an address behind a trunk, is known to take: the
// types that it has named in an Accept, those that it has sent itself, and
// those that it has answered 415. Without any of this nothing is known.
type taste struct {
	mu      sync.Mutex
	named   []string
	sent    map[string]bool
	refused map[string]bool
	asked   bool // by OPTIONS
}

func newTaste(named, refused []string) *taste {
	t := &taste{named: named, sent: map[string]bool{}, refused: map[string]bool{}}
	for _, kind := range refused {
		t.refused[kind] = true
	}
	return t
}

// accepts reads Accept headers.
func accepts(members iter.Seq[string]) (list []string) {
	for m := range members {
		kind := bareType(m)
		if kind != "" && len(kind) <= 100 && checkType(kind) == nil && len(list) < maxNamed && !slices.Contains(list, kind) {
			list = append(list, kind)
		}
	}
	return list
}

// name notes an Accept. One that says nothing changes nothing.
func (t *taste) name(list []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(list) > 0 {
		t.named = list
	}
}

// sends notes that the device has sent a type itself.
func (t *taste) sends(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.refused, kind)
	if len(t.sent) < maxNamed {
		t.sent[kind] = true
	}
}

// refuses notes a 415 to a type, with the Accept that came with it, and tells
// whether that was not known.
func (t *taste) refuses(kind string, accept []string) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news = !t.refused[kind]
	if news && len(t.refused) >= 2*maxNamed {
		t.forget()
	}
	t.refused[kind] = true
	if len(accept) > 0 {
		t.named = accept
	}
	return news
}

// forget makes room for a refused type: of those that somebody else has sent.
func (t *taste) forget() {
	for kind := range t.refused {
		if !slices.Contains(ours, kind) {
			delete(t.refused, kind)
			return
		}
	}
}

// ours are the types that we choose ourselves.
var ours = []string{
	"text/html", "text/markdown", mixedType, externalType, transfer.MediaType, cpim.MediaType, imdn.MediaType, composing.MediaType,
}

// blank tells whether nothing is known.
func (t *taste) blank() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.named) == 0 && len(t.sent) == 0 && len(t.refused) == 0
}

// takes tells whether a type is certainly taken. "*/*" says nothing of what is
// shown to anybody.
func (t *taste) takes(kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	group, _, _ := strings.Cut(kind, "/")
	return !t.refused[kind] && (t.sent[kind] || slices.Contains(t.named, kind) || slices.Contains(t.named, group+"/*"))
}

// talks tells whether a sign of typing is worth a try: where such are taken for
// certain, and where the phone speaks CPIM or sends notices by itself, as it
// then knows these, too, or answers 415 for good.
func (t *taste) talks() bool {
	if t.rejects(composing.MediaType) {
		return false
	}
	return t.takes(composing.MediaType) || t.takes(cpim.MediaType) || t.takes(imdn.MediaType)
}

// rejects tells whether a type was refused. That an Accept leaves it out says
// less: phones have types for one another, encrypted ones too, that they name
// nowhere.
func (t *taste) rejects(kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused[kind]
}

// known are the types that are worth remembering over a restart.
func (t *taste) known() (takes, refuses []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	takes = slices.Clone(t.named)
	for kind := range t.sent {
		if !slices.Contains(takes, kind) {
			takes = append(takes, kind)
		}
	}
	takes = slices.DeleteFunc(takes, func(kind string) bool { return t.refused[kind] })
	slices.Sort(takes)
	return takes, slices.Sorted(maps.Keys(t.refused))
}

// equals tells whether the same is known of two devices.
func (t *taste) equals(o *taste) bool {
	takes, refuses := t.known()
	alsoTakes, alsoRefuses := o.known()
	return slices.Equal(takes, alsoTakes) && slices.Equal(refuses, alsoRefuses)
}

// ask returns true once, where it is not known what is taken.
func (t *taste) ask() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked || len(t.named) > 0 {
		return false
	}
	t.asked = true
	return true
}
