package event

import (
	"hash/fnv"
	"strconv"
)

// Partitions is the number of shares the Outbounds of a connector fall into,
// so that several hosts can divide the work.
const Partitions = 64

// StoredPrefix stands before the public subject in the subject that the host
// writes to and the streams keep; replaying subscribers see it.
const StoredPrefix = "stored."

// Partition returns the share, 0 to 63, that a lane falls into.
func Partition(lane string) int {
	h := fnv.New32a()
	h.Write([]byte(lane))
	return int(h.Sum32() % Partitions)
}

// Subject returns the public subject of an event, such as
// "parley.inbound.sip.<lane>". It holds no personal data: connector names and
// lane tokens are letters, digits, "-" and "_".
func (e Inbound) Subject() string { return "parley.inbound." + e.Origin + "." + e.Lane }

// Subject returns the public subject, see Inbound.Subject.
func (e Outbound) Subject() string {
	return "parley.outbound." + e.Connector + "." + strconv.Itoa(Partition(e.Lane)) + "." + e.Lane
}

// Subject returns the public subject, see Inbound.Subject.
func (e Status) Subject() string { return "parley.status." + e.Connector + "." + e.Lane }

// Subject returns the public subject, see Inbound.Subject.
func (e Dead) Subject() string { return "parley.dead." + e.Connector + "." + e.Lane }

// Subject returns the public subject, see Inbound.Subject.
func (e Typing) Subject() string { return "parley.signal." + e.Connector + "." + e.Lane }
