package bus

// ScrubBlock is for the tests.
var ScrubBlock = scrubBlock
