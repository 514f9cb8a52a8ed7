package client

import (
	"context"
	"errors"

	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/wire"
)

// maxList is the most entries of one answer, whatever the connector asks.
const maxList = 1000

// state answers the requests about the connector's key-value store.
func (p *Process) state(ctx context.Context, f *wire.ConnectorFrame) (*wire.Answer, error) {
	store := p.backend.State()
	switch body := f.Body.(type) {
	case *wire.ConnectorFrame_StateGet:
		key := body.StateGet.GetKey()
		if err := wire.CheckKey(key); err != nil {
			return nil, err
		}
		e, err := store.Get(ctx, key)
		return entries([]sdk.Entry{e}, false), err
	case *wire.ConnectorFrame_StatePut:
		put := body.StatePut
		if err := errors.Join(wire.CheckKey(put.GetKey()), wire.CheckValue(put.GetValue())); err != nil {
			return nil, err
		}
		rev, err := store.Put(ctx, put.GetKey(), put.GetValue(), put.GetRevision())
		return &wire.Answer{Result: &wire.Answer_Revision{Revision: rev}}, err
	case *wire.ConnectorFrame_StateDelete:
		del := body.StateDelete
		if err := wire.CheckKey(del.GetKey()); err != nil {
			return nil, err
		}
		return &wire.Answer{}, store.Delete(ctx, del.GetKey(), del.GetRevision())
	case *wire.ConnectorFrame_StateList:
		return list(ctx, store, body.StateList)
	}
	return nil, errors.New("this host does not know the request")
}

// list answers with as many entries as a frame holds.
func list(ctx context.Context, store sdk.State, q *wire.StateList) (*wire.Answer, error) {
	limit := int(min(max(q.GetLimit(), 0), maxList))
	if limit == 0 {
		return entries(nil, false), nil
	}
	found, err := store.List(ctx, q.GetPrefix(), q.GetAfter(), limit)
	if err != nil {
		return nil, err
	}
	size := 0
	for i, e := range found {
		if size += len(e.Key) + len(e.Value); size > wire.MaxEntries {
			return entries(found[:i], true), nil
		}
	}
	return entries(found, len(found) == maxList), nil
}

func entries(list []sdk.Entry, more bool) *wire.Answer {
	m := &wire.Entries{More: more}
	for _, e := range list {
		m.Entries = append(m.Entries, &wire.Entry{Key: e.Key, Value: e.Value, Revision: e.Revision})
	}
	return &wire.Answer{Result: &wire.Answer_Entries{Entries: m}}
}
