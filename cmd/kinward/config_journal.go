package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kinward/journal/spool"
)

// journalConfig says where attempts wait until they are stored, and how many.
type journalConfig struct {
	Ring   int    `mapstructure:"ring" yaml:"ring"`     // MB
	Spool  int    `mapstructure:"spool" yaml:"spool"`   // MB
	Memory string `mapstructure:"memory" yaml:"memory"` // folder
}

// journalFolder holds what is not stored yet in the data folder.
const journalFolder = "journal"

// resolve checks c and returns what it means for a data folder.
func (c journalConfig) resolve(data string) (spool.Config, error) {
	if c.Ring < 1 || c.Ring > 64 {
		return spool.Config{}, fmt.Errorf("ring: %d MB is not between 1 and 64", c.Ring)
	}
	if c.Spool < 8 || c.Spool > 1<<20 {
		return spool.Config{}, fmt.Errorf("spool: %d MB is not between 8 and %d", c.Spool, 1<<20)
	}
	if c.Memory != "" && !filepath.IsAbs(c.Memory) {
		return spool.Config{}, fmt.Errorf("memory: %q is not an absolute path", c.Memory)
	}
	return spool.Config{
		Folder: filepath.Join(data, journalFolder), RingFolder: c.Memory,
		RingBytes: c.Ring << 20, DiskBytes: int64(c.Spool) << 20,
	}, nil
}

// examineJournal says where the newest attempts lie.
func (e *examination) examineJournal(st statusReply) {
	switch {
	case st.Ring == "":
		e.note("spool", "", "the newest attempts lie in the program's own memory: what is younger than a moment ends with it")
	case !st.RingMemory:
		e.note("spool", "set journal: memory to a folder in memory that outlives the program; see docs/operators.md",
			"the newest attempts lie in a file of %s: they outlive the program, but recording may wait for that disk", filepath.Dir(st.Ring))
	default:
		if _, err := os.Stat(st.Ring); errors.Is(err, os.ErrNotExist) {
			e.fault("spool", "restart Kinward, and see what removes files there (RemoveIPC in logind.conf?)",
				"%s is gone: attempts would not outlive a crash", st.Ring)
			return
		}
		e.ok("spool", "the newest attempts outlive the program, in %s", st.Ring)
	}
}
