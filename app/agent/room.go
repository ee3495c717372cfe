package agent

import "golang.org/x/sys/unix"

// minDiskShare is the divisor of a disk's size that bounds the required free space.
const minDiskShare = 50

// freeSpace gives how many bytes are free for this process's user on the disk of a folder, and how many may be required
// at most; 0: unknown.
func freeSpace(dir string) (free, most int64) {
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) != nil {
		return 0, 0
	}
	size := int64(disk.Bsize)
	return int64(disk.Bavail) * size, int64(disk.Blocks) * size / minDiskShare
}

// LacksDiskSpace reports whether fewer than least bytes are free on the disk of a folder. On a small disk a fiftieth of
// its size is enough.
func LacksDiskSpace(dir string, least int64) bool {
	free, most := freeSpace(dir)
	return free < min(least, most)
}
