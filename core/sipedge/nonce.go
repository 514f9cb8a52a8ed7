package sipedge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

const (
	nonceLife   = 5 * time.Minute
	nonceWindow = 256 // how far the counts of one nonce may be reordered
	nonceSize   = 24  // time, boot and a random part, 8 bytes each
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

// issue returns a new nonce.
func (n *nonces) issue() string {
	b := make([]byte, nonceSize, nonceSize+macSize)
	binary.BigEndian.PutUint64(b, uint64(n.now().UnixMilli()))
	copy(b[8:], n.boot[:])
	rand.Read(b[16:])
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b)...))
}

func (n *nonces) mac(b []byte) []byte {
	h := hmac.New(sha256.New, n.key)
	h.Write([]byte("parley nonce"))
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// fresh tells whether this process made the nonce and it is young enough.
func (n *nonces) fresh(nonce string) bool {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceSize+macSize || !hmac.Equal(b[nonceSize:], n.mac(b[:nonceSize])) {
		return false
	}
	age := n.now().Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	return [8]byte(b[8:16]) == n.boot && age >= 0 && age <= nonceLife
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
