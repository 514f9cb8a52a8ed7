package conversation

import (
	"context"

	"parley.im/bus/event"
)

// Place is an address of a connector.
type Place struct {
	Connector string
	Address   event.Address
}

// Link remembers under which ids a message is known at a place: its native id
// where it came from, its remote ids where it was delivered. The message is
// the Inbound's id, the same at all places, so that an answer to it at one
// place can name what it answers at the others. The first id stands for it.
func (s *Store) Link(ctx context.Context, message string, at Place, ids []string) error {
	for _, id := range ids {
		if err := s.set(ctx, messageKey(at, id), message); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return s.set(ctx, nativeKey(at, message), ids[0])
}

// Message returns the Inbound's id of what is known by an id at a place.
func (s *Store) Message(ctx context.Context, at Place, id string) (message string, found bool, err error) {
	found, err = s.get(ctx, messageKey(at, id), &message)
	return message, found, err
}

// Native returns the id by which a message is known at a place.
func (s *Store) Native(ctx context.Context, at Place, message string) (id string, found bool, err error) {
	found, err = s.get(ctx, nativeKey(at, message), &id)
	return id, found, err
}

func messageKey(at Place, id string) string {
	return "message/" + at.Connector + "/" + digest(string(at.Address), id)
}

func nativeKey(at Place, message string) string {
	return "native/" + at.Connector + "/" + digest(string(at.Address), message)
}
