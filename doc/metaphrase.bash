# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of metaphrase's command line for bash: made by tests/monitor/make-docs.c from the
# program's own tables.  Put it where bash-completion looks, or source it.

_metaphrase() {
    local line=${COMP_LINE:0:COMP_POINT} cur option item before cut keys= words= files= w
    cur=${line##*[[:space:]]}                # the word as typed: COMP_WORDS is split at = and :
    line=${line%"$cur"}
    set -- $line
    option=${!#}
    COMPREPLY=()
    item=${cur##*,}                          # of a list, what is being typed
    before=${cur%"$item"}
    case ${option#-} in
    machine|-machine) words="pc-i440fx-7.2 pc microvm none " keys="type= accel= acpi= hpet= graphics= memory-backend= dump-guest-core= halt-poll= huge-pages= vmi= vmport= pic= pit= rtc= isa-serial= auto-kernel-cmdline= dumpdtb= " ;;
    M|-M) words="pc-i440fx-7.2 pc microvm none " keys="type= accel= acpi= hpet= graphics= memory-backend= dump-guest-core= halt-poll= huge-pages= vmi= vmport= pic= pit= rtc= isa-serial= auto-kernel-cmdline= dumpdtb= " ;;
    accel|-accel) words="interpret translate tcg kvm " keys="accel= " ;;
    cpu|-cpu) words="max host qemu32 qemu64 kvm64 Nehalem Haswell Skylake-Server Icelake-Server EPYC " keys="" ;;
    smp|-smp) words="" keys="cpus= sockets= cores= threads= " ;;
    m|-m) words="" keys="size= maxmem= slots= " ;;
    name|-name) words="" keys="guest= process= debug-threads= " ;;
    uuid|-uuid) words="" keys="" ;;
    rtc|-rtc) words="" keys="base= " ;;
    boot|-boot) words="" keys="order= once= menu= splash-time= strict= " ;;
    overcommit|-overcommit) words="off " keys="mem-lock= cpu-pm= " ;;
    global|-global) words="" keys="property= value= " ;;
    kernel|-kernel) words="" keys="" ;;
    append|-append) words="" keys="" ;;
    initrd|-initrd) words="" keys="" ;;
    dtb|-dtb) words="" keys="" ;;
    bios|-bios) words="" keys="" ;;
    L|-L) words="" keys="" ;;
    option-rom|-option-rom) words="" keys="" ;;
    fw_cfg|-fw_cfg) words="" keys="name= file= " ;;
    smbios|-smbios) words="" keys="file= " ;;
    drive|-drive) words="" keys="file= if= format= id= index= media= readonly= snapshot= cache= discard= serial= bus= unit= file.locking= " ;;
    blockdev|-blockdev) words="raw file host_device " keys="driver= node-name= file= file.filename= filename= read-only= cache.direct= cache.no-flush= discard= locking= " ;;
    hda|-hda) words="" keys="" ;;
    hdb|-hdb) words="" keys="" ;;
    hdc|-hdc) words="" keys="" ;;
    hdd|-hdd) words="" keys="" ;;
    fda|-fda) words="" keys="" ;;
    fdb|-fdb) words="" keys="" ;;
    cdrom|-cdrom) words="" keys="" ;;
    device|-device) words="isa-debug-exit isa-debugcon pvpanic ib700 pc-testdev isa-serial virtio-blk-pci virtio-rng-pci virtio-serial-pci virtio-serial virtio-blk-device virtio-rng-device virtio-serial-device virtconsole virtserialport " keys="driver= id= " ;;
    object|-object) words="iothread memory-backend-memfd memory-backend-ram rng-random " keys="qom-type= id= " ;;
    vga|-vga) words="std none " keys="" ;;
    display|-display) words="none " keys="" ;;
    net|-net) words="none " keys="" ;;
    nic|-nic) words="none " keys="" ;;
    audiodev|-audiodev) words="none " keys="driver= id= " ;;
    readconfig|-readconfig) words="" keys="" ;;
    chardev|-chardev) words="null stdio file pipe pty ringbuf socket " keys="backend= id= mux= path= append= host= port= fd= server= wait= nodelay= telnet= signal= size= " ;;
    serial|-serial) words="stdio null pty file: pipe: unix: tcp: telnet: chardev: none " keys="" ;;
    parallel|-parallel) words="none " keys="" ;;
    monitor|-monitor) words="stdio null pty file: pipe: unix: tcp: telnet: chardev: none " keys="" ;;
    qmp|-qmp) words="stdio null pty file: pipe: unix: tcp: telnet: chardev: none " keys="" ;;
    qmp-pretty|-qmp-pretty) words="stdio null pty file: pipe: unix: tcp: telnet: chardev: none " keys="" ;;
    mon|-mon) words="" keys="chardev= mode= pretty= " ;;
    echr|-echr) words="" keys="" ;;
    debugcon|-debugcon) words="stdio null pty file: pipe: unix: tcp: telnet: chardev: none " keys="" ;;
    incoming|-incoming) words="" keys="" ;;
    gdb|-gdb) words="tcp: unix: chardev: none " keys="" ;;
    icount|-icount) words="" keys="shift= sleep= align= trail= every= follow= " ;;
    action|-action) words="reset shutdown " keys="reboot= shutdown= panic= watchdog= " ;;
    watchdog-action|-watchdog-action) words="reset shutdown poweroff pause debug none inject-nmi " keys="action= " ;;
    pidfile|-pidfile) words="" keys="" ;;
    runas|-runas) words="" keys="" ;;
    sandbox|-sandbox) words="on off " keys="enable= obsolete= elevateprivileges= spawn= resourcecontrol= " ;;
    msg|-msg) words="on off " keys="timestamp= guest-name= " ;;
    d|-d) words="in_asm out_asm op int exec cpu mmu pcall cpu_reset unimp guest_errors stats " keys="" ;;
    D|-D) words="" keys="" ;;
    trace|-trace) words="phys_map_rebuild phys_unassigned_read phys_unassigned_write port_unassigned_read port_unassigned_write tlb_flush cpu_rdmsr cpu_wrmsr direct_policy direct_spin direct_fault window_region pci_map pci_msi pci_config_read pci_config_write virtio_status virtio_notify virtio_broken virtio_blk_request block_submit block_done pic_set_irq pic_ack ioapic_send apic_deliver lapic_ack lapic_ipi post_code serial_write rtc_write pit_write hpet_write acpi_pm_write i8042_command fw_cfg_select ide_exec_cmd fdc_command machine_state machine_reset machine_migrate qmp_receive qmp_send hmp_command gdb_receive gdb_send " keys="enable= events= file= " ;;
    stress|-stress) words="tlb_miss= tlb_small= decode_miss= direct= direct_ints= direct_bases= direct_refuse= exit_every_run= kick_entry= kick_late= recreate= evict= slow_path= helpers= window_region= code_write= vmi_jump= " keys="" ;;
    *) option= ;;
    esac
    option=${option#-}; option=${option#-}
    if [ -z "$option" ]; then                # not the argument of an option
        case $cur in
        --*) words=${_metaphrase_options// -/ --} ;;
        -*) words=$_metaphrase_options ;;
        *) files=1 ;;
        esac
        before= item=$cur keys=
    elif [ "${item%%=*}" != "$item" ]; then   # KEY=VALUE
        before=$before${item%%=*}= keys= words=
        _metaphrase_values "$option,${item%%=*}"
        item=${item#*=}
    else
        if [ "$option" = device ] && [ -n "$before" ]; then
            _metaphrase_device "${before%%,*}"
        elif [ -n "$before" ] && [ "$option" != d ]; then
            words=                           # the first item alone goes without a key
        fi
        [ -n "$before" ] || _metaphrase_values "$option,"
        words="$words $keys"
    fi
    cut=${cur%"${cur##*[=:]}"}               # readline has this part already
    for w in $words; do
        case $w in "$item"*) COMPREPLY+=("${before}$w") ;; esac
    done
    if [ -n "$files" ]; then
        while IFS= read -r w; do COMPREPLY+=("$before$w"); done < <(compgen -f -- "$item")
    fi
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    case ${COMPREPLY[0]} in *[=:]) compopt -o nospace 2>/dev/null ;; esac
}

_metaphrase_values() {
    case $1 in
    machine,acpi) words="on off" ;;
    machine,hpet) words="on off" ;;
    machine,graphics) words="on off" ;;
    machine,dump-guest-core) words="on off" ;;
    machine,halt-poll) words="on off" ;;
    machine,huge-pages) words="on off" ;;
    machine,vmi) words="on off" ;;
    machine,vmport) words="on off" ;;
    machine,pic) words="on off" ;;
    machine,pit) words="on off" ;;
    machine,rtc) words="on off" ;;
    machine,isa-serial) words="on off" ;;
    machine,auto-kernel-cmdline) words="on off" ;;
    machine,dumpdtb) files=1 ;;
    M,acpi) words="on off" ;;
    M,hpet) words="on off" ;;
    M,graphics) words="on off" ;;
    M,dump-guest-core) words="on off" ;;
    M,halt-poll) words="on off" ;;
    M,huge-pages) words="on off" ;;
    M,vmi) words="on off" ;;
    M,vmport) words="on off" ;;
    M,pic) words="on off" ;;
    M,pit) words="on off" ;;
    M,rtc) words="on off" ;;
    M,isa-serial) words="on off" ;;
    M,auto-kernel-cmdline) words="on off" ;;
    M,dumpdtb) files=1 ;;
    m,slots) words="0" ;;
    name,debug-threads) words="on" ;;
    boot,menu) words="on off" ;;
    boot,strict) words="on off" ;;
    overcommit,mem-lock) words="off" ;;
    overcommit,cpu-pm) words="off" ;;
    kernel,) files=1 ;;
    initrd,) files=1 ;;
    dtb,) files=1 ;;
    bios,) files=1 ;;
    L,) files=1 ;;
    option-rom,) files=1 ;;
    fw_cfg,file) files=1 ;;
    smbios,file) files=1 ;;
    drive,file) files=1 ;;
    drive,if) words="virtio ide floppy none" ;;
    drive,format) words="raw" ;;
    drive,media) words="disk cdrom" ;;
    drive,readonly) words="on off" ;;
    drive,snapshot) words="on off" ;;
    drive,discard) words="ignore unmap" ;;
    drive,file.locking) words="on off" ;;
    blockdev,driver) words="raw file host_device" ;;
    blockdev,file.filename) files=1 ;;
    blockdev,filename) files=1 ;;
    blockdev,read-only) words="on off" ;;
    blockdev,cache.direct) words="on off" ;;
    blockdev,cache.no-flush) words="on off" ;;
    blockdev,discard) words="ignore unmap" ;;
    blockdev,locking) words="auto on off" ;;
    hda,) files=1 ;;
    hdb,) files=1 ;;
    hdc,) files=1 ;;
    hdd,) files=1 ;;
    fda,) files=1 ;;
    fdb,) files=1 ;;
    cdrom,) files=1 ;;
    audiodev,driver) words="none" ;;
    readconfig,) files=1 ;;
    chardev,mux) words="on off" ;;
    chardev,path) files=1 ;;
    chardev,append) words="on off" ;;
    chardev,server) words="on off" ;;
    chardev,wait) words="on off" ;;
    chardev,nodelay) words="on off" ;;
    chardev,telnet) words="on off" ;;
    chardev,signal) words="on off" ;;
    mon,mode) words="readline control" ;;
    mon,pretty) words="on off" ;;
    icount,sleep) words="off" ;;
    icount,align) words="off" ;;
    icount,trail) files=1 ;;
    icount,follow) files=1 ;;
    action,reboot) words="reset shutdown" ;;
    action,shutdown) words="poweroff pause" ;;
    action,panic) words="shutdown pause exit-failure none" ;;
    watchdog-action,action) words="reset shutdown poweroff pause debug none inject-nmi" ;;
    pidfile,) files=1 ;;
    sandbox,enable) words="on off" ;;
    sandbox,obsolete) words="allow deny" ;;
    sandbox,elevateprivileges) words="allow deny" ;;
    sandbox,spawn) words="allow deny" ;;
    sandbox,resourcecontrol) words="allow deny" ;;
    msg,timestamp) words="on off" ;;
    msg,guest-name) words="on off" ;;
    D,) files=1 ;;
    trace,events) files=1 ;;
    trace,file) files=1 ;;
    esac
}

_metaphrase_device() {
    case $1 in
    isa-debug-exit) keys="id= iobase= iosize= " ;;
    isa-debugcon) keys="id= chardev= iobase= readback= " ;;
    pvpanic) keys="id= ioport= events= " ;;
    ib700) keys="id= " ;;
    pc-testdev) keys="id= " ;;
    isa-serial) keys="id= chardev= index= iobase= irq= " ;;
    virtio-blk-pci) keys="id= drive= serial= num-queues= queue-size= logical_block_size= physical_block_size= scsi= write-cache= iothread= bootindex= addr= bus= disable-legacy= disable-modern= " ;;
    virtio-rng-pci) keys="id= rng= addr= bus= disable-legacy= disable-modern= " ;;
    virtio-serial-pci) keys="id= max_ports= addr= bus= disable-legacy= disable-modern= " ;;
    virtio-serial) keys="id= max_ports= addr= bus= disable-legacy= disable-modern= " ;;
    virtio-blk-device) keys="id= drive= serial= num-queues= queue-size= logical_block_size= physical_block_size= scsi= write-cache= iothread= " ;;
    virtio-rng-device) keys="id= rng= " ;;
    virtio-serial-device) keys="id= max_ports= " ;;
    virtconsole) keys="id= chardev= name= bus= nr= " ;;
    virtserialport) keys="id= chardev= name= bus= nr= " ;;
    esac
}

_metaphrase_options=" -h -help -version -machine -M -accel -enable-kvm -cpu -smp -m -name -uuid -rtc -boot -overcommit -global -kernel -append -initrd -dtb -bios -L -option-rom -fw_cfg -smbios -drive -blockdev -hda -hdb -hdc -hdd -fda -fdb -cdrom -snapshot -device -object -vga -display -nographic -nodefaults -net -nic -audiodev -readconfig -no-user-config -no-hpet -no-acpi -chardev -serial -parallel -monitor -qmp -qmp-pretty -mon -echr -debugcon -S -incoming -only-migratable -gdb -s -icount -no-reboot -no-shutdown -action -watchdog-action -daemonize -pidfile -runas -sandbox -msg -d -D -trace -stress"

complete -F _metaphrase metaphrase
