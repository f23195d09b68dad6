// What the test bed asks of a running Thunderbird: functions put in front of a script in its chrome context.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");

function localRoot() {
  return MailServices.accounts.localFoldersServer.rootFolder;
}

function* below(folder, prefix = "") {
  for (const child of folder.subFolders) {
    yield [prefix + child.localizedName, child];
    yield* below(child, `${prefix}${child.localizedName}/`);
  }
}

async function folderNamed(name) {
  for (const [path, folder] of below(localRoot())) {
    if (path == name) {
      return indexed(folder);
    }
  }
  throw new Error(`no folder ${name}, only ${[...below(localRoot())].map(([path]) => path)}`);
}

// A folder whose summary file is missing or stale is parsed before anything is asked of it.
async function indexed(folder) {
  await untilStopped(listener => {
    try {
      folder.QueryInterface(Ci.nsIMsgLocalMailFolder).getDatabaseWithReparse(listener, null);
      return false;
    } catch (error) {
      if (error.result == Cr.NS_ERROR_NOT_INITIALIZED) {
        return true;
      }
      throw error;
    }
  });
  return folder;
}

function untilStopped(begin) {
  return new Promise((resolve, reject) => {
    const listener = {
      QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
      OnStartRunningUrl() {},
      OnStopRunningUrl(_url, status) {
        Components.isSuccessCode(status) ? resolve() : reject(new Error(`status ${status}`));
      },
    };
    if (begin(listener) === false) {
      resolve();
    }
  });
}

function headers(folder) {
  return [...folder.messages].sort((one, other) => one.messageKey - other.messageKey);
}

async function folders() {
  const rows = [];
  for (const [path, folder] of below(localRoot())) {
    const all = headers(await indexed(folder));
    rows.push([
      path,
      all.length,
      all.filter(header => !header.isRead).length,
      all.reduce((sum, header) => sum + header.messageSize, 0),
    ]);
  }
  return rows;
}

async function messages(name) {
  const folder = await folderNamed(name);
  return headers(folder).map(header => {
    const stream = Cc["@mozilla.org/binaryinputstream;1"].createInstance(Ci.nsIBinaryInputStream);
    stream.setInputStream(folder.getMsgInputStream(header, {}));
    let text = "";
    for (let size = stream.available(); size; size = stream.available()) {
      text += stream.readBytes(size);
    }
    return btoa(text);
  });
}

async function markRead(name) {
  const folder = await folderNamed(name);
  folder.markMessagesRead(headers(folder), true);
}

async function remove(name, index) {
  const folder = await folderNamed(name);
  const before = headers(folder).length;
  folder.deleteMessages([headers(folder)[index]], null, true, false, null, false);
  if (headers(folder).length != before - 1) {
    throw new Error("the message was not deleted");
  }
}

async function compact(name) {
  const folder = await folderNamed(name);
  await untilStopped(listener => {
    folder.compact(listener, null);
    return true;
  });
}

async function trust(sha256) {
  const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
  const plain = certificate => certificate.sha256Fingerprint.replaceAll(":", "").toLowerCase();
  const found = database.getCerts().find(certificate => plain(certificate) == sha256);
  const isTrusted = bit => database.isCertTrusted(found, Ci.nsIX509Cert.CA_CERT, bit);
  return found ? [isTrusted(database.TRUSTED_SSL), isTrusted(database.TRUSTED_EMAIL)] : null;
}

async function verdict(name, index) {
  const folder = await folderNamed(name);
  const uri = folder.getUriForMsg(headers(folder)[index]);
  const window = Services.wm.getMostRecentWindow("mail:3pane");
  const view = window.document.getElementById("tabmail").currentAbout3Pane.messageBrowser.contentWindow;
  return new Promise(resolve => {
    const finish = () => {
      view.removeEventListener("MsgLoaded", loaded);
      view.removeEventListener("smimeprocessed", finish);
      const fingerprint = view.gSignerCert?.sha256Fingerprint.replaceAll(":", "").toLowerCase();
      resolve([view.gSignatureStatus, fingerprint ?? null]);
    };
    const loaded = () => {
      // The first message ever shown loads twice, at first without a document.
      const shown = view.getMessagePaneBrowser().contentDocument?.body;
      if (shown && !view.gExpectedSignatureCount && !view.gSignatureStatusForURI) {
        finish();
      }
    };
    view.addEventListener("MsgLoaded", loaded);
    view.addEventListener("smimeprocessed", finish);
    view.displayMessage(uri);
  });
}
