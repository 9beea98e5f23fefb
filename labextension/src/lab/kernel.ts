// Asking a notebook's kernel what it has that could be deployed, without a trace in the notebook.

import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel, KernelMessage } from '@jupyterlab/services';

import { DeployError, type Trans } from '../api/transport';
import { QUESTION, readFound, type Found } from '../deploy/found';

const ANSWER_MS = 20_000;

/** The notebook's Python kernel. Rejects with what to do where there is none. */
export async function pythonKernel(
  session: ISessionContext,
  trans: Trans,
): Promise<Kernel.IKernelConnection> {
  await session.ready;
  const kernel = session.session?.kernel;
  if (kernel === null || kernel === undefined || kernel.status === 'dead')
    throw new DeployError({
      error: 'NoKernel',
      what: trans('this notebook has no kernel that runs'),
      why: trans('the model to deploy is in the memory of a kernel'),
      fix: trans('choose a kernel at the top right of the notebook, run its cells, and press Deploy again'),
    });
  const info = await kernel.info;
  if (info.language_info.name !== 'python')
    throw new DeployError({
      error: 'NoKernel',
      what: trans('the kernel of this notebook speaks %1', info.language_info.name),
      why: trans('autodeploy deploys models of a Python kernel'),
      fix: trans('choose a Python kernel at the top right of the notebook'),
    });
  return kernel;
}

/** What the kernel has. Waits as long as `busy` says; rejects with what to do where it cannot tell. */
export async function askKernel(
  kernel: Kernel.IKernelConnection,
  trans: Trans,
  patient: boolean,
): Promise<Found> {
  const future = kernel.requestExecute(
    {
      code: '',
      silent: true,
      store_history: false,
      allow_stdin: false,
      user_expressions: { found: QUESTION },
    },
    true,
  );
  let reply: KernelMessage.IExecuteReplyMsg;
  try {
    reply = await (patient ? future.done : inTime(future.done, trans));
  } finally {
    future.dispose();
  }
  const content = reply.content;
  if (content.status !== 'ok')
    throw new DeployError({
      error: 'KernelFailed',
      what: trans('the kernel did not answer the question for its models'),
      why: content.status === 'error' ? `${content.ename}: ${content.evalue}` : content.status,
      fix: trans('run `%%deploy` in a cell of its own'),
    });
  const answer = content.user_expressions['found'] as unknown as Answer | undefined;
  if (answer?.status === 'ok') return readFound(answer.data?.['text/plain'] ?? '');
  if (answer?.ename === 'ModuleNotFoundError') {
    const missing = /'autodeploy_magic'/.test(answer.evalue ?? '');
    throw new DeployError({
      error: 'MissingPackage',
      what: missing
        ? trans('the kernel of this notebook does not have autodeploy-magic')
        : trans('the kernel of this notebook has an autodeploy-magic that is older than the sidebar'),
      why: trans('JupyterLab has it, and the kernel runs in another environment'),
      fix: missing
        ? trans('run `%pip install autodeploy-magic` in a cell, and press Deploy again')
        : trans(
            'run `%pip install -U autodeploy-magic` in a cell, restart the kernel, and press Deploy again',
          ),
    });
  }
  throw new DeployError({
    error: 'KernelFailed',
    what: trans('the kernel could not look through its variables'),
    why: `${answer?.ename ?? ''}: ${answer?.evalue ?? ''}`,
    fix: trans('run `%%deploy NAME --model VAR --sample VAR` in a cell'),
  });
}

interface Answer {
  status: 'ok' | 'error';
  data?: Record<string, string>;
  ename?: string;
  evalue?: string;
}

async function inTime<T>(answer: Promise<T>, trans: Trans): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new DeployError({
          error: 'KernelBusy',
          what: trans('the kernel said nothing for %1 s', ANSWER_MS / 1000),
          why: trans('it runs something, or it hangs'),
          fix: trans('wait until it is idle, or interrupt it, and press Deploy again'),
        }),
      );
    }, ANSWER_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
