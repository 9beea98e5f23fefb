import { commands } from './commands';
import { deploy } from './deploy';
import { launcher } from './launcher';
import { logs } from './logs';
import { notify } from './notify';
import { panelTab } from './panelTab';
import { service } from './service';
import { sidebar } from './sidebar';
import { status } from './status';

export default [service, commands, panelTab, logs, sidebar, deploy, status, launcher, notify];
