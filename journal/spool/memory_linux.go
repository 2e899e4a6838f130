package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// memoryFolders returns where a ring may lie, the best first. Memory that a
// process does not own outlives it, and never waits for a disk. What is left for
// last is the spool's own folder: it outlives the process, too, but a page of a
// file may have to wait until the disk has taken it.
func memoryFolders(o Config) []string {
	if o.RingFolder != "" {
		return []string{o.RingFolder, o.Folder}
	}
	var folders []string
	add := func(dir string) {
		if filepath.IsAbs(dir) && isMemory(dir) {
			folders = append(folders, dir)
		}
	}
	add(os.Getenv("RUNTIME_DIRECTORY")) // the service's; see RuntimeDirectoryPreserve in systemd.exec(5)
	if os.Getpid() != 1 {               // a container's own memory goes with its first process
		add("/dev/shm")
		add(os.Getenv("XDG_RUNTIME_DIR"))
	}
	return append(folders, o.Folder)
}

func isMemory(dir string) bool {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return false
	}
	return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC
}

func ringName(spool uint64) string {
	return "kinward-" + strconv.Itoa(os.Geteuid()) + "-" + idText(spool) + ".ring"
}

// mapped is a file in memory, for as long as it is reachable.
type mapped struct{ mem []byte }

// mapFile maps a ring's file. Where bytes is 0 there must be one; otherwise there
// must be none, and all of it is allocated at once, lest a full disk end the
// process later (SIGBUS).
func mapFile(path string, bytes int) (_ *mapped, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NOFOLLOW
	if bytes > 0 {
		flags |= unix.O_CREAT | unix.O_EXCL
	}
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if bytes > 0 {
		defer func() {
			if err != nil {
				os.Remove(path)
			}
		}()
		if err := allocate(fd, bytes); err != nil {
			return nil, fmt.Errorf("allocating %d bytes in %s: %w", bytes, path, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 || st.Nlink != 1 {
		return nil, fmt.Errorf("%s is not this user's own file", path) // others may write to /dev/shm, too
	}
	if st.Size > maxRingFile || st.Blocks*512 < st.Size {
		return nil, fmt.Errorf("%s has %d bytes, %d of them allocated: not a ring", path, st.Size, st.Blocks*512)
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	m := &mapped{mem}
	runtime.AddCleanup(m, func(mem []byte) { unix.Munmap(mem) }, mem)
	return m, nil
}

// populate makes all pages present, some ms beside the start, which would wait
// for them. Where the kernel cannot, pages come as they are touched.
func (m *mapped) populate() {
	unix.Madvise(m.mem, unix.MADV_POPULATE_WRITE)
	runtime.KeepAlive(m)
}

func allocate(fd, bytes int) error {
	err := unix.Fallocate(fd, 0, 0, int64(bytes))
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, 1<<16)
	for at := 0; at < bytes; {
		n, err := unix.Pwrite(fd, zeros[:min(len(zeros), bytes-at)], int64(at))
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// datasync brings a file's content and size to the disk.
func datasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for {
			if failed = unix.Fdatasync(int(fd)); failed != unix.EINTR {
				return
			}
		}
	}); err != nil { // the only one there is, which has no name outside the standard library
		return fmt.Errorf("%w: %w", os.ErrClosed, err)
	}
	return failed
}
