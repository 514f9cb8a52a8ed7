package sipedge

import "parley.im/core/sipedge/internal/proof"

// Credentials are what Parley proves itself with to a server. They answer that
// realm's challenges alone, and only those of that server: whoever else asks
// would collect hashes of the password.
type Credentials struct {
	User, Password, Realm string
	Digest                []string // algorithms that may be used, such as "SHA-256"; SHA-256 and MD5 if empty
}

func (c Credentials) answerer() *proof.Answerer { return proof.New(proof.Credentials(c)) }
