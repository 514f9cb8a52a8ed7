package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimSoon gives back, when the start is over, the pages of the program file
// that only the start has needed: the runtime checks the tables of all
// functions once, many megabytes in each of the host's processes. What is
// needed again is read again. It does so only in a static program, whose
// read-only segments nobody has written to.
func trimSoon() {
	if static() {
		time.AfterFunc(3*time.Second, trim)
	}
}

// static tells whether the program was built without cgo at a fixed address,
// so that no loader has changed its read-only segments.
func static() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	want := map[string]string{"CGO_ENABLED": "0", "-buildmode": "exe"}
	for _, s := range info.Settings {
		if want[s.Key] == s.Value {
			delete(want, s.Key)
		}
	}
	return len(want) == 0
}

func trim() {
	name, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for s := bufio.NewScanner(maps); s.Scan(); {
		var from, to uintptr
		var mode string
		n, _ := fmt.Sscanf(s.Text(), "%x-%x %s", &from, &to, &mode)
		if n == 3 && (mode == "r--p" || mode == "r-xp") && strings.HasSuffix(s.Text(), " "+name) {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
