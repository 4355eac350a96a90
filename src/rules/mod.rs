//! The rules. One file each: its page, its check, its fix. Adding one is a file, a fixture folder
//! (`fixtures/rules/<id>/`) and a word in the registry below.

mod unsaid;

use crate::engine::Rule;

/// Declares a rule: the doc comment is its page, then come the fields of [`Rule`].
macro_rules! rule {
    ($(#[doc = $page:literal])* $($field:ident : $value:expr),* $(,)?) => {
        $(#[doc = $page])*
        pub static RULE: $crate::engine::Rule = $crate::engine::Rule {
            page: concat!($($page, "\n"),*),
            $($field: $value),*
        };
    };
}

/// Makes the modules and the list of all rules, in the order of reports.
macro_rules! registry {
    ($($family:ident { $($rule:ident)* })*) => {
        $(pub mod $family {
            //! Rules of one family, a file each.
            $(
                #[doc = concat!("See [`RULE`](", stringify!($rule), "::RULE).")]
                pub mod $rule;
            )*
        })*

        /// Every rule.
        pub static ALL: &[&Rule] = &[$($(&$family::$rule::RULE,)*)*];
    };
}

registry! {
    storage {
        share_bind
        share_path
        host_bind
        named_volume
        file_bind
        kubelet_file
        incomplete_mount
        unknown_share
        read_only_share
        docker_socket
        untranslated_mount
        duplicate_target
        share_modes
        share_name
        volume_name
        reserved_volume
        volume_collision
        database
        volume_group
        share_address
        bind_target
        windows_path
        nfs_version
        mounted_file
        share_mounted
        free_space
    }

    network {
        host_network
        mixed_protocols
        sibling_without_service
        mapped_port
        reserved_port
        external_address
        untranslated
        port_syntax
        duplicate_port
        service_options
        device_port
        cluster_address
        gateway_override
        gateway_address
        service_variables
        port_not_bound
        port_taken
        sibling_unreachable
        sidecar
        iot_hub
        clock
    }

    compute {
        fpga_resource
        fpga_device
        wireserver
        docker_gpu
        gpu_request
        gpu_count
        device
        device_entry
        shared_gpu
        gpu_twice
        gpu_index
        mps
        fpga_model
        cuda_version
        own_gpu
    }

    resources {
        docker_limits
        no_limits
        shared_memory
        ipc_mode
        pid_mode
        quantity
        extension_key
        worker_vm
        extensions_off
        extensions_ignored
        limits_in_force
    }

    proxy {
        no_proxy
        upstream_protocol
        runtime_modules
        inherited_protocol
        upstream_spelling
        https
        blocked
        absent
        exceptions
    }

    lifecycle {
        recreate
        restart_policy
        strategy
        startup_order
        stopped
    }

    image {
        pull_policy
        latest
        edge_agent
        platform
        edge_registry
        credentials
        node
        workload_socket
        missing
        absent
        drift
    }

    naming {
        kubernetes_name
        collision
        not_a_label
        leading_digit
        reserved
        label_key
    }

    options {
        syntax
        env_colon
        env_name
        env_without_value
        entrypoint
        command_string
        user
        untranslated
        env_runtime
        env_twice
        log_config
        healthcheck
        elevated
        no_effect
        refused
        unreadable
    }

    hub {
        ports
        mapped_port
        storage
        storage_user
        time_to_live
        route
        limits
        schema
        unreachable
    }

    monitoring {
        agent_metrics
        hub_metrics
        metrics_unreachable
    }

    platform {
        managed_iot_edge
        vm_gpu
    }

    manifest {
        duplicate_key
        unread_key
        key_case
        pieces
        env_place
        unquoted_key
        odd_value
    }

    settings {
        suppression
    }

    status {
        starting
        unscheduled
        waiting
        out_of_memory
        crash
        no_container
        ended
        restarted
        disconnected
        conflict
        not_applied
        not_reported
        deployment_code
        unknown
        platform
    }

    gpu {
        driver
        lost
        recovery
        xid
        ecc
        pages
        rows
        throttle
        temperature
        persistence
        memory
        module
        link
        mps
        inforom
        nvlink
        power
    }
}

/// The rules that answer to `name`, an id or a code, in any case. A code may have a rule for each target.
pub fn find(name: &str) -> Vec<&'static Rule> {
    ALL.iter().copied().filter(|rule| rule.answers_to(name)).collect()
}
