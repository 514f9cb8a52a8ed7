package wire

import (
	"errors"
	"io"
)

// SendBody sends what r yields in chunks, and then the last one. When r fails,
// the error is sent instead and returned.
func SendBody(r io.Reader, send func(*Chunk) error) error {
	for {
		piece, err := fill(r)
		if len(piece) > 0 {
			if err := send(&Chunk{Data: piece}); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return send(&Chunk{Last: true})
		default:
			return errors.Join(err, send(&Chunk{Error: EncodeError(err)}))
		}
	}
}

// fill reads one piece. Unlike io.ReadFull it keeps a source that breaks off
// (io.ErrUnexpectedEOF) apart from one that ends. The piece is new each time,
// for a frame may still be in use after it was sent.
func fill(r io.Reader) ([]byte, error) {
	piece := make([]byte, MaxChunk)
	n := 0
	for n < len(piece) {
		m, err := r.Read(piece[n:])
		n += m
		if err != nil {
			return piece[:n], err
		}
	}
	return piece, nil
}

// Body reads the body that the other side sends in chunks.
type Body struct {
	Recv func() (*Chunk, error)

	rest []byte
	err  error
}

// Read returns the next bytes. A body that ends without a last chunk is an
// io.ErrUnexpectedEOF.
func (b *Body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 && b.err == nil {
		b.next()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.err
}

func (b *Body) next() {
	c, err := b.Recv()
	switch {
	case errors.Is(err, io.EOF):
		b.err = io.ErrUnexpectedEOF
	case err != nil:
		b.err = err
	case c.GetError() != nil:
		b.err = DecodeError(c.Error)
	default:
		b.rest = c.GetData()
		if c.GetLast() {
			b.err = io.EOF
		}
	}
}
