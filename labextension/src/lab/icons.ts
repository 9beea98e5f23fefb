import { LabIcon } from '@jupyterlab/ui-components';

/** Two servers, the upper one with a pulse through it. */
const SERVING =
  '<svg xmlns="http://www.w3.org/2000/svg" width="24" viewBox="0 0 24 24"><g fill="none"><g class="jp-icon3" stroke="#616161" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"><rect x="3" y="3.5" width="18" height="9" rx="2"/><path d="M5.5 8h3l1.6-2.4 2.3 4.8L14 8h4.5"/><rect x="3" y="15.5" width="18" height="5" rx="2"/><path d="M6.5 18h.01M10 18h7.5"/></g></g></svg>';

/** A parcel on its way up. */
const DEPLOY =
  '<svg xmlns="http://www.w3.org/2000/svg" width="24" viewBox="0 0 24 24"><g fill="none"><g class="jp-icon3" stroke="#616161" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"><path d="M12 15V4"/><path d="M7.5 8.2 12 3.7l4.5 4.5"/><path d="M4 13v5.5a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2V13"/></g></g></svg>';

export const servingIcon = new LabIcon({ name: 'autodeploy-magic:serving', svgstr: SERVING });
export const deployIcon = new LabIcon({ name: 'autodeploy-magic:deploy', svgstr: DEPLOY });
