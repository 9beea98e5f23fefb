import type { Glance } from '../api/types';

/** Where a browser finds a deployment's page: through the Jupyter Server where its address is one of another machine. */
export function pageUrl({ status, local }: Glance, proxyUrl: string, host = location.hostname): string {
  const here = /^(localhost|127(\.\d+){3}|\[?::1\]?)$/.test(host);
  return local && !here ? proxyUrl : `${status.url}/`;
}
