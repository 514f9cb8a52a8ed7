package bus

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/minio/highwayhash"
)

// The form of a record in a block of the server's file store: length, sequence,
// time, length of the subject, then subject, headers and body, then a checksum.
// The server marks a record that it has erased in the sequence and fills it
// with noise; what is done here is the same.
const (
	recordHead   = 22
	recordSum    = 8
	recordFlag   = uint32(1) << 31 // in the length: there are headers
	recordErased = uint64(1) << 63 // in the sequence
	recordTomb   = uint64(1) << 62 // in the sequence: no message, it tells of a deletion
)

var errBlock = errors.New("a block of the store does not have the form that is expected; it was left as it is")

// scrubBlock overwrites in out, which is a copy of data or data itself, the
// records that are gone, and returns how many there are. With a nil out it only
// counts. A block in which anything is not as expected is an error: then out is
// of no use.
func scrubBlock(out, data []byte, stream string, number int, gone func(seq uint64) bool) (n int, err error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, number))
	for at := 0; at < len(data); {
		if len(data)-at < recordHead+recordSum {
			return 0, errBlock
		}
		size := uint64(binary.LittleEndian.Uint32(data[at:]))
		headers := uint32(size)&recordFlag != 0
		size &^= uint64(recordFlag)
		if size < recordHead+recordSum || size > uint64(len(data)-at) {
			return 0, errBlock
		}
		rec := data[at : at+int(size)]
		sum, err := recordChecksum(key[:], rec, headers)
		if err != nil || !bytes.Equal(sum, rec[len(rec)-recordSum:]) {
			return 0, errBlock
		}
		if seq := binary.LittleEndian.Uint64(rec[4:]); seq&(recordErased|recordTomb) == 0 && gone(seq) {
			n++
			if out != nil {
				eraseRecord(out[at:at+int(size)], key[:])
			}
		}
		at += int(size)
	}
	return n, nil
}

// recordChecksum leaves out the lengths of subject and headers, as the server
// does.
func recordChecksum(key, rec []byte, headers bool) ([]byte, error) {
	h, err := highwayhash.New64(key)
	if err != nil {
		return nil, err
	}
	subject, body := int(binary.LittleEndian.Uint16(rec[20:])), rec[recordHead:len(rec)-recordSum]
	behind := subject
	if headers {
		behind += 4
	}
	if behind > len(body) {
		return nil, errBlock
	}
	h.Write(rec[4:20])
	h.Write(body[:subject])
	h.Write(body[behind:])
	return h.Sum(nil), nil
}

// eraseRecord fills a record with noise. Its sequence and time stay.
func eraseRecord(rec, key []byte) {
	seq := binary.LittleEndian.Uint64(rec[4:])
	binary.LittleEndian.PutUint32(rec, uint32(len(rec)))
	binary.LittleEndian.PutUint64(rec[4:], seq|recordErased)
	clear(rec[20:recordHead])                              // no subject
	_, _ = rand.Read(rec[recordHead : len(rec)-recordSum]) // never fails
	if sum, err := recordChecksum(key, rec, false); err == nil {
		copy(rec[len(rec)-recordSum:], sum)
	}
}
