// What a person has chosen in the Settings Editor: schema/deployments.json.

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

export class Choices {
  private settings: ISettingRegistry.ISettings | null = null;
  private readonly _changed = new Signal<this, 'page' | 'person'>(this);

  /** Whether the person changed them, or the page has read what was saved. */
  get changed(): ISignal<this, 'page' | 'person'> {
    return this._changed;
  }

  /** How much time a panel shows at first, in seconds. */
  get seconds(): number {
    return this.read('chartSeconds', 300);
  }

  /** How often the sidebar draws its figures anew, in seconds. */
  get refreshS(): number {
    return this.read('sidebarRefresh', 1);
  }

  get sidebar(): boolean {
    return this.read('sidebar', true);
  }

  get statusBar(): boolean {
    return this.read('statusBar', true);
  }

  /** Whether the browser is to tell of critical alerts. */
  get notifications(): boolean {
    return this.read('notifications', false);
  }

  get confirmStop(): boolean {
    return this.read('confirmStop', true);
  }

  get confirmRemove(): boolean {
    return this.read('confirmRemove', true);
  }

  attach(settings: ISettingRegistry.ISettings): void {
    this.settings = settings;
    settings.changed.connect(() => this._changed.emit('person'));
    this._changed.emit('page');
  }

  async set(key: string, value: boolean): Promise<void> {
    await this.settings?.set(key, value);
  }

  private read<T extends number | boolean>(key: string, otherwise: T): T {
    const value = this.settings?.composite[key];
    return typeof value === typeof otherwise ? (value as T) : otherwise;
  }
}
