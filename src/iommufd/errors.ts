/** How an iommufd operation fails: the kernel's errno names and, for people, one sentence. */

export type Errno =
  | 'EBUSY'
  | 'EEXIST'
  | 'EINVAL'
  | 'EIO'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EOPNOTSUPP'
  | 'EOVERFLOW';

export class IommufdError extends Error {
  override readonly name = 'IommufdError';
  readonly errno: Errno;

  constructor(errno: Errno, message: string) {
    super(`${errno}: ${message}`);
    this.errno = errno;
  }
}
