package sipedge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

const (
	nonceLife   = 5 * time.Minute
	nonceWindow = 256 // how far the counts of one nonce may be reordered
	nonceSize   = 28  // time, boot and a random part, 8 bytes each, and 4 of the source
	macSize     = 16
)

// nonces makes and judges the nonces of digest challenges. A nonce needs no
// memory until somebody has shown a right digest with it: it carries its time
// and an HMAC. Which counts of a nonce are used is known only to the process
// that made it, so one of another host or of before a restart is stale.
type nonces struct {
	key  []byte
	boot [8]byte
	now  func() time.Time

	mu      sync.Mutex
	used    map[string]*window // since turned
	older   map[string]*window // of the life time before
	turning time.Time
}

func newNonces(key []byte) *nonces {
	n := &nonces{key: key, now: time.Now, used: map[string]*window{}}
	rand.Read(n.boot[:])
	return n
}

// issue returns a new nonce for a client at an address. It is as good
// anywhere else, since phones move; but one that comes back from its own source
// shows that this source is no invention.
func (n *nonces) issue(to netip.Addr) string {
	b := make([]byte, nonceSize, nonceSize+macSize)
	binary.BigEndian.PutUint64(b, uint64(n.now().UnixMilli()))
	copy(b[8:], n.boot[:])
	rand.Read(b[16:24])
	copy(b[24:], n.mark(to))
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac("nonce", b)[:macSize]...))
}

func (n *nonces) mac(of string, b []byte) []byte {
	h := hmac.New(sha256.New, n.key)
	h.Write([]byte("parley " + of))
	h.Write(b)
	return h.Sum(nil)
}

// mark stands for a source in a nonce.
func (n *nonces) mark(a netip.Addr) []byte {
	return n.mac("source", sourceOf(a).Addr().AsSlice())[:nonceSize-24]
}

// read returns what is in a nonce that was made with our key.
func (n *nonces) read(nonce string) (b []byte, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceSize+macSize || !hmac.Equal(b[nonceSize:], n.mac("nonce", b[:nonceSize])[:macSize]) {
		return nil, false
	}
	return b[:nonceSize], true
}

// fresh tells whether this process made the nonce and it is young enough.
func (n *nonces) fresh(nonce string) bool {
	b, ok := n.read(nonce)
	return ok && [8]byte(b[8:16]) == n.boot && n.young(b)
}

func (n *nonces) young(b []byte) bool {
	age := n.now().Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	return age >= 0 && age <= nonceLife
}

// returned tells whether a nonce was given to a source a short time ago: who
// sends it reads what is sent there.
func (n *nonces) returned(nonce string, from netip.Addr) bool {
	b, ok := n.read(nonce)
	return ok && n.young(b) && hmac.Equal(b[24:], n.mark(from))
}

// spend uses up one count of a nonce. It returns false if the nonce is stale
// or the count is used or too old. Call it only for a right digest.
func (n *nonces) spend(nonce string, count int) bool {
	if !n.fresh(nonce) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := n.now(); now.After(n.turning) {
		n.older, n.used, n.turning = n.used, map[string]*window{}, now.Add(nonceLife)
	}
	w := n.used[nonce]
	if w == nil {
		if w = n.older[nonce]; w == nil {
			w = &window{}
		}
		n.used[nonce] = w
	}
	return w.use(count)
}

// window remembers which of the latest counts of a nonce are used.
type window struct {
	top  int
	seen [nonceWindow / 64]uint64
}

// use marks a count and tells whether it was free.
func (w *window) use(count int) bool {
	if count <= 0 || count <= w.top-nonceWindow {
		return false
	}
	for i := max(w.top+1, count-nonceWindow+1); i <= count; i++ {
		word, bit := w.at(i)
		*word &^= bit
	}
	w.top = max(w.top, count)
	word, bit := w.at(count)
	free := *word&bit == 0
	*word |= bit
	return free
}

func (w *window) at(count int) (*uint64, uint64) {
	i := count % nonceWindow
	return &w.seen[i/64], 1 << (i % 64)
}
